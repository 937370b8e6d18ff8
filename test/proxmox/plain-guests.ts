/** Guests that are folders: a disk is a directory, nothing runs in it, and the guest agent reads and writes its files. */
import { Buffer } from 'node:buffer'
import { execFile } from 'node:child_process'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import {
  type Boot,
  type Disk,
  type DiskSource,
  type GuestAgent,
  GuestAgentError,
  type Guests,
  type Network,
  NOTHING,
  type SnapshotRequest,
  type Usage,
} from './guests.ts'

const run = promisify(execFile)

/** What a command in a guest comes to; a test says it, for nothing really runs. */
export type RunInGuest = (
  vmid: number,
  command: readonly string[],
  input: string,
) => { readonly exitCode: number; readonly output: string; readonly errors?: string }

interface Running {
  readonly boot: Boot
  network: Network
  frozen: boolean
  paused: boolean
}

export class PlainGuests implements Guests {
  readonly running = new Map<number, Running>()
  /** Guests whose agent does not answer. */
  readonly silent = new Set<number>()
  /** What guests call themselves, where that is not their VM's name. */
  readonly hostNames = new Map<number, string>()
  /** Guests that ignore the button. */
  readonly stubborn = new Set<number>()
  /** RAM by key: what of a guest was running when it was kept. */
  readonly memories = new Map<string, { readonly vmid: number; readonly frozen: boolean }>()
  runInGuest: RunInGuest = () => ({ exitCode: 127, output: '', errors: 'nothing runs in this guest\n' })
  readonly #root: string
  readonly #ended: ((vmid: number) => void)[] = []
  readonly #commands = new Map<number, unknown>()
  #nextPid = 900

  constructor(root: string) {
    this.#root = root
  }

  /** Where a disk's files are. */
  folder(disk: Disk): string {
    return join(this.#root, disk.key, 'disk')
  }

  async createDisk(disk: Disk, source: DiskSource): Promise<void> {
    await mkdir(this.folder(disk), { recursive: true })
    if (source.kind === 'file') await run('cp', ['--reflink=auto', '--', source.path, join(this.folder(disk), 'image')])
  }

  async cloneDisk(from: Disk, snapshot: string | null, to: Disk): Promise<void> {
    await mkdir(dirname(this.folder(to)), { recursive: true })
    await copy(snapshot === null ? this.folder(from) : this.#kept(from, snapshot), this.folder(to))
  }

  async resizeDisk(): Promise<void> {}

  async deleteDisk(disk: Disk): Promise<void> {
    await rm(join(this.#root, disk.key), { recursive: true, force: true })
  }

  async snapshot({ vmid, name, disks, memory }: SnapshotRequest): Promise<void> {
    for (const disk of disks) {
      await mkdir(dirname(this.#kept(disk, name)), { recursive: true })
      await copy(this.folder(disk), this.#kept(disk, name))
    }
    if (memory !== null) this.memories.set(memory, { vmid, frozen: this.running.get(vmid)?.frozen === true })
  }

  async rollback(_vmid: number, name: string, disks: readonly Disk[]): Promise<void> {
    for (const disk of disks) {
      await copy(this.#kept(disk, name), `${this.folder(disk)}.back`)
      await rm(this.folder(disk), { recursive: true, force: true })
      await rename(`${this.folder(disk)}.back`, this.folder(disk))
    }
  }

  async deleteSnapshot({ name, disks, memory }: SnapshotRequest): Promise<void> {
    for (const disk of disks) await rm(this.#kept(disk, name), { recursive: true, force: true })
    if (memory !== null) this.memories.delete(memory)
  }

  async start(boot: Boot): Promise<void> {
    const memory = boot.memory === null ? undefined : this.memories.get(boot.memory)
    if (boot.memory !== null && memory?.vmid !== boot.vmid) throw new Error(`no RAM ${boot.memory} of VM ${boot.vmid}`)
    this.running.set(boot.vmid, { boot, network: boot.network, frozen: memory?.frozen === true, paused: false })
  }

  async stop(vmid: number): Promise<void> {
    this.running.delete(vmid)
  }

  async shutdown(vmid: number): Promise<void> {
    if (!this.stubborn.has(vmid)) this.end(vmid)
  }

  async reset(vmid: number): Promise<void> {
    const guest = this.#guest(vmid)
    guest.frozen = false
  }

  async pause(vmid: number): Promise<void> {
    this.#guest(vmid).paused = true
  }

  async resume(vmid: number): Promise<void> {
    this.#guest(vmid).paused = false
  }

  async networkChanged(vmid: number, network: Network): Promise<void> {
    this.#guest(vmid).network = network
  }

  agent(vmid: number): GuestAgent | null {
    if (!this.running.has(vmid) || this.silent.has(vmid)) return null
    return { execute: (command, parameters) => this.#execute(vmid, command, parameters) }
  }

  usage(vmid: number): Usage {
    const guest = this.running.get(vmid)
    return guest ? { ...NOTHING, memoryBytes: guest.boot.memoryMib * 1024 ** 2 * 0.25 } : NOTHING
  }

  onEnded(listener: (vmid: number) => void): void {
    this.#ended.push(listener)
  }

  /** The guest turns itself off. */
  end(vmid: number): void {
    this.running.delete(vmid)
    for (const listener of this.#ended) listener(vmid)
  }

  async close(): Promise<void> {
    await rm(this.#root, { recursive: true, force: true })
  }

  #kept(disk: Disk, name: string): string {
    return join(this.#root, disk.key, 'snapshots', name)
  }

  #guest(vmid: number): Running {
    const guest = this.running.get(vmid)
    if (!guest) throw new Error(`VM ${vmid} does not run`)
    return guest
  }

  async #execute(vmid: number, command: string, parameters: Readonly<Record<string, unknown>>): Promise<unknown> {
    const guest = this.#guest(vmid)
    switch (command) {
      case 'guest-ping':
      case 'guest-fstrim':
      case 'guest-set-user-password':
        return {}
      case 'guest-info':
        return { version: '10.1.2', supported_commands: [{ name: 'guest-ping', enabled: true, 'success-response': true }] }
      case 'guest-shutdown':
        return (this.shutdown(vmid), {})
      case 'guest-fsfreeze-status':
        return guest.frozen ? 'frozen' : 'thawed'
      case 'guest-fsfreeze-freeze':
        if (guest.frozen) throw new GuestAgentError('The command guest-fsfreeze-freeze has been disabled for this instance')
        guest.frozen = true
        return guest.boot.disks.length
      case 'guest-fsfreeze-thaw':
        return thawed(guest)
      case 'guest-network-get-interfaces':
        return interfaces(guest.boot)
      case 'guest-get-host-name':
        return { 'host-name': this.hostNames.get(vmid) ?? guest.boot.name }
      case 'guest-get-time':
        return Date.now() * 1_000_000
      case 'guest-exec':
        return this.#exec(vmid, parameters)
      case 'guest-exec-status':
        return this.#commands.get(Number(parameters['pid'])) ?? unknownPid(parameters['pid'])
      default:
        return this.#files(guest, command, parameters)
    }
  }

  #exec(vmid: number, parameters: Readonly<Record<string, unknown>>): { pid: number } {
    const input = Buffer.from(String(parameters['input-data'] ?? ''), 'base64').toString('utf8')
    const { exitCode, output, errors } = this.runInGuest(
      vmid,
      [String(parameters['path'] ?? ''), ...((parameters['arg'] as string[] | undefined) ?? [])],
      input,
    )
    const pid = this.#nextPid++
    const encoded = (text: string): string => Buffer.from(text).toString('base64')
    this.#commands.set(pid, {
      exited: true,
      exitcode: exitCode,
      ...(output === '' ? {} : { 'out-data': encoded(output) }),
      ...(errors ? { 'err-data': encoded(errors) } : {}),
    })
    return { pid }
  }

  readonly #handles = new Map<number, string>()

  /** Files below the first disk's folder; a path cannot leave it. */
  async #files(guest: Running, command: string, parameters: Readonly<Record<string, unknown>>): Promise<unknown> {
    const [disk] = guest.boot.disks
    if (!disk) throw new GuestAgentError('this guest has no disk')
    if (command === 'guest-file-open') {
      const path = join(this.folder(disk), resolve('/', String(parameters['path'])))
      const handle = 1000 + this.#handles.size
      if (String(parameters['mode']).startsWith('w')) await mkdir(dirname(path), { recursive: true })
      await (await opened(path, String(parameters['mode']).startsWith('w') ? 'w' : 'r')).close()
      this.#handles.set(handle, path)
      return handle
    }
    const path = this.#handles.get(Number(parameters['handle']))
    if (path === undefined) throw new GuestAgentError(`handle '${parameters['handle']}' has not been found`)
    if (command === 'guest-file-close') return {}
    const file = await opened(path, command === 'guest-file-write' ? 'a' : 'r')
    try {
      if (command === 'guest-file-write') {
        const bytes = Buffer.from(String(parameters['buf-b64']), 'base64')
        await file.appendFile(bytes)
        return { count: bytes.length, eof: false }
      }
      const bytes = (await file.readFile()).subarray(0, Number(parameters['count']))
      return { 'buf-b64': bytes.toString('base64'), count: bytes.length, eof: bytes.length === (await file.stat()).size }
    } finally {
      await file.close()
    }
  }
}

const copy = async (from: string, to: string): Promise<void> => void (await run('cp', ['-a', '--reflink=auto', '--', from, to]))

async function opened(path: string, mode: string): ReturnType<typeof open> {
  try {
    return await open(path, mode)
  } catch (error) {
    throw new GuestAgentError(`failed to open file '${path}': ${error instanceof Error ? error.message : error}`)
  }
}

/** How many file systems were frozen. */
function thawed(guest: Running): number {
  const count = guest.frozen ? guest.boot.disks.length : 0
  guest.frozen = false
  return count
}

function unknownPid(pid: unknown): never {
  throw new GuestAgentError(`Invalid parameter 'pid' (${pid})`)
}

const interfaces = (boot: Boot): unknown => [
  { name: 'lo', 'hardware-address': '00:00:00:00:00:00', 'ip-addresses': [{ 'ip-address': '127.0.0.1', 'ip-address-type': 'ipv4', prefix: 8 }] },
  ...boot.network.nics.map((nic) => ({
    name: `eth${nic.index}`,
    'hardware-address': nic.mac.toLowerCase(),
    'ip-addresses': [{ 'ip-address': `198.51.100.${boot.vmid % 250}`, 'ip-address-type': 'ipv4', prefix: 24 }],
  })),
]
