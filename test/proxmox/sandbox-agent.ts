/** QEMU's guest agent of a sandboxed guest: its commands really run inside. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import { type Boot, type GuestAgent, GuestAgentError } from './guests.ts'
import type { Sandbox } from './sandbox.ts'

const MAX_OUTPUT_BYTES = 16 * 1024 * 1024
/** What QEMU's agent still does while file systems are frozen (qga/main.c). */
const WHILE_FROZEN = ['guest-ping', 'guest-info', 'guest-sync', 'guest-sync-delimited', 'guest-fsfreeze-status', 'guest-fsfreeze-thaw']
const COMMANDS: readonly string[] = [
  ...WHILE_FROZEN,
  'guest-fsfreeze-freeze',
  'guest-fstrim',
  'guest-set-user-password',
  'guest-shutdown',
  'guest-network-get-interfaces',
  'guest-get-host-name',
  'guest-get-time',
  'guest-exec',
  'guest-exec-status',
  'guest-file-open',
  'guest-file-read',
  'guest-file-write',
  'guest-file-seek',
  'guest-file-flush',
  'guest-file-close',
]

type Parameters = Readonly<Record<string, unknown>>

interface Command {
  readonly child: ChildProcess
  readonly output: Promise<Output>
  ended: Output | null
}

interface Output {
  readonly code: number | null
  readonly signal: number | null
  readonly out: Buffer
  readonly errors: Buffer
}

export class SandboxAgent implements GuestAgent {
  readonly #boot: Boot
  readonly #sandbox: Sandbox
  readonly #shutDown: () => void
  readonly #commands = new Map<number, Command>()
  readonly #files = new Map<number, { readonly path: string; offset: number }>()
  #nextHandle = 1000
  #isFrozen = false

  constructor(boot: Boot, sandbox: Sandbox, shutDown: () => void) {
    this.#boot = boot
    this.#sandbox = sandbox
    this.#shutDown = shutDown
  }

  async execute(command: string, parameters: Parameters): Promise<unknown> {
    if (!COMMANDS.includes(command)) throw new GuestAgentError(`The command ${command} has not been found`)
    if (this.#isFrozen && !WHILE_FROZEN.includes(command)) throw new GuestAgentError(`The command ${command} has been disabled for this instance`)
    switch (command) {
      case 'guest-sync':
      case 'guest-sync-delimited':
        return parameters['id']
      case 'guest-info':
        return {
          version: '10.1.2',
          supported_commands: COMMANDS.map((name) => ({ name, enabled: !this.#isFrozen || WHILE_FROZEN.includes(name), 'success-response': true })),
        }
      case 'guest-shutdown':
        return (this.#shutDown(), {})
      case 'guest-fsfreeze-status':
        return this.#isFrozen ? 'frozen' : 'thawed'
      case 'guest-fsfreeze-freeze':
        await this.#run(['sync', '-f', '/var/lib/autovibe'])
        this.#isFrozen = true
        return this.#boot.disks.length
      case 'guest-fsfreeze-thaw':
        return this.#thaw()
      case 'guest-network-get-interfaces':
        return this.#interfaces()
      case 'guest-get-host-name':
        return { 'host-name': String(await this.#run(['uname', '-n'])).trim() }
      case 'guest-get-time':
        return Date.now() * 1_000_000
      case 'guest-exec':
        return this.#exec(parameters)
      case 'guest-exec-status':
        return this.#status(Number(parameters['pid']))
      default:
        return command.startsWith('guest-file-') ? this.#file(command, parameters) : {}
    }
  }

  #thaw(): number {
    const count = this.#isFrozen ? this.#boot.disks.length : 0
    this.#isFrozen = false
    return count
  }

  /** Its cards are the VM's by name and address of hardware; the sandbox itself has a loopback alone. */
  #interfaces(): unknown {
    const loopback = { 'ip-address': '127.0.0.1', 'ip-address-type': 'ipv4', prefix: 8 }
    return [
      { name: 'lo', 'hardware-address': '00:00:00:00:00:00', 'ip-addresses': [loopback] },
      ...this.#boot.network.nics.map((nic) => ({ name: `eth${nic.index}`, 'hardware-address': nic.mac.toLowerCase(), 'ip-addresses': [] })),
    ]
  }

  #exec(parameters: Parameters): { readonly pid: number } {
    const words = [String(parameters['path'] ?? ''), ...((parameters['arg'] as readonly string[] | undefined) ?? [])]
    const child = this.#sandbox.enter(words, parameters['env'] as readonly string[] | undefined)
    const started: Command = { child, output: outputOf(child), ended: null }
    started.output.then(
      (output) => {
        started.ended = output
      },
      () => undefined,
    )
    child.stdin?.end(Buffer.from(String(parameters['input-data'] ?? ''), 'base64'))
    const pid = child.pid ?? 0
    this.#commands.set(pid, started)
    return { pid }
  }

  /** The end of a command is told once. */
  #status(pid: number): unknown {
    const command = this.#commands.get(pid)
    if (!command) throw new GuestAgentError("Invalid parameter 'pid'")
    if (command.ended === null) return { exited: false }
    this.#commands.delete(pid)
    const { code, signal, out, errors } = command.ended
    return {
      exited: true,
      ...(code === null ? { signal } : { exitcode: code }),
      ...captured('out', out),
      ...captured('err', errors),
    }
  }

  async #file(command: string, parameters: Parameters): Promise<unknown> {
    if (command === 'guest-file-open') return this.#open(String(parameters['path']), String(parameters['mode'] ?? 'r'))
    const handle = Number(parameters['handle'])
    const file = this.#files.get(handle)
    if (!file) throw new GuestAgentError(`handle '${handle}' has not been found`)
    switch (command) {
      case 'guest-file-close':
        return (this.#files.delete(handle), {})
      case 'guest-file-seek':
        file.offset = Number(parameters['offset'])
        return { position: file.offset, eof: false }
      case 'guest-file-write': {
        const bytes = Buffer.from(String(parameters['buf-b64']), 'base64')
        await this.#run(['dd', `of=${file.path}`, 'conv=notrunc', 'oflag=seek_bytes', `seek=${file.offset}`, 'status=none'], bytes)
        file.offset += bytes.length
        return { count: bytes.length, eof: false }
      }
      case 'guest-file-read': {
        const count = Number(parameters['count'] ?? 4096)
        const flags = ['iflag=skip_bytes,count_bytes,fullblock', `skip=${file.offset}`, `count=${count}`, 'status=none']
        const bytes = await this.#run(['dd', `if=${file.path}`, ...flags])
        file.offset += bytes.length
        return { 'buf-b64': bytes.toString('base64'), count: bytes.length, eof: bytes.length < count }
      }
      default:
        return {}
    }
  }

  async #open(path: string, mode: string): Promise<number> {
    const opening = { r: 'exec 3<"$1"', w: 'exec 3>"$1"', a: 'exec 3>>"$1"' }[mode[0] ?? '']
    if (opening === undefined) throw new GuestAgentError(`invalid file open mode '${mode}'`)
    await this.#run(['/bin/sh', '-c', opening, 'sh', path]).catch((error: Error) => {
      throw new GuestAgentError(`failed to open file '${path}' (mode: '${mode}'): ${error.message.trim().split(': ').at(-1)}`)
    })
    const handle = this.#nextHandle++
    const size = mode.startsWith('a') ? Number(await this.#run(['stat', '-c', '%s', '--', path])) : 0
    this.#files.set(handle, { path, offset: size })
    return handle
  }

  async #run(command: readonly string[], input: Uint8Array = new Uint8Array()): Promise<Buffer> {
    const child = this.#sandbox.enter(command)
    const output = outputOf(child)
    child.stdin?.end(input)
    const { code, out, errors } = await output
    if (code !== 0) throw new GuestAgentError(String(errors))
    return out
  }
}

async function outputOf(child: ChildProcess): Promise<Output> {
  const kept = { out: [] as Buffer[], errors: [] as Buffer[] }
  const bytes = { out: 0, errors: 0 }
  for (const [name, stream] of [
    ['out', child.stdout],
    ['errors', child.stderr],
  ] as const)
    stream?.on('data', (chunk: Buffer) => {
      if (bytes[name] < MAX_OUTPUT_BYTES) kept[name].push(chunk.subarray(0, MAX_OUTPUT_BYTES - bytes[name]))
      bytes[name] += chunk.length
    })
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  return { code, signal: signal === null ? null : constants.signals[signal], out: Buffer.concat(kept.out), errors: Buffer.concat(kept.errors) }
}

const captured = (name: 'out' | 'err', bytes: Buffer): Record<string, unknown> => ({
  ...(bytes.length === 0 ? {} : { [`${name}-data`]: bytes.toString('base64') }),
  ...(bytes.length === MAX_OUTPUT_BYTES ? { [`${name}-truncated`]: true } : {}),
})
