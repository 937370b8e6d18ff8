/** What the tests of gate and guest stand on: a real gate, real guest processes with a folder each in place of a VM, and the door of the conformance suite. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CheckpointId, MachineId } from '@autovibe/contract'
import { SECRETS } from '../../../../checkpoints/testing/place.ts'
import { type FreshDatabase, freshDatabase } from '../../../../database/testing.ts'
import { systemRuntime } from '../../../../runtime.ts'
import { gateKeySealing } from '../../../../security/secrets.ts'
import { ConformanceDoor } from '../../../conformance-door.ts'
import { accountAfter, type TreeAccount } from '../../../conformance-tree.ts'
import type { Guest } from '../../guest-links.ts'
import { type Gate, type GateOptions, openGate } from '../open-gate.ts'

export const never = new AbortController().signal
export const WITHIN_MS = 20_000
export const TOKEN = 'a-token-of-the-machine'
export const newMachine = (): MachineId => systemRuntime.newId('machine')
export const newCheckpoint = (): CheckpointId => systemRuntime.newId('checkpoint')

const ROOT = join(import.meta.dirname, '../../../../../..')
const AGENT = join(ROOT, 'packages/hub/substrates/conformance-agent.ts')
const QUIET = { info: () => undefined, warn: () => undefined }

export interface GuestOptions {
  readonly args?: readonly string[]
  readonly onlyCopies?: boolean
}

/** A folder in place of a VM's disk and firmware, and the guest that runs on it. */
export class Vm {
  readonly folder: string
  readonly #options: GuestOptions
  #child: ChildProcess | null = null
  said = ''

  constructor(folder: string, options: GuestOptions = {}) {
    this.folder = folder
    this.#options = options
  }

  get state(): string {
    return join(this.folder, 'state')
  }
  get tree(): string {
    return join(this.state, 'trees/tree')
  }
  get run(): string {
    return join(this.folder, 'run')
  }

  async insert(invitation: string): Promise<void> {
    await mkdir(this.folder, { recursive: true })
    await writeFile(join(this.folder, 'serial'), `${invitation}\n`)
  }

  boot(): void {
    const { args = [], onlyCopies = false } = this.#options
    const own = ['--state', this.state, '--run', this.run, '--invitation', join(this.folder, 'serial'), '--tree-at', 'none', '--agents', this.folder]
    const quick = ['--user', 'none', '--rekey-root', 'none', '--agent-command', JSON.stringify([process.execPath, AGENT])]
    const argv = [join(ROOT, 'packages/guest/main.ts'), ...own, ...quick, ...(onlyCopies ? ['--only-copies'] : []), ...args]
    const child = spawn(process.execPath, argv, { stdio: ['ignore', 'ignore', 'pipe'] })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.said += text
    })
    this.#child = child
  }

  /** As a power cut does, but for the agent, whose own end follows in a real VM. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    child.kill(signal)
    // Its agent may still hold its standard error.
    await once(child, 'exit')
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }
}

export class Ground {
  readonly folder: string
  readonly database: FreshDatabase
  door = new ConformanceDoor()
  readonly #vms: Vm[] = []
  readonly #options: Partial<GateOptions>
  #gate: Gate | null = null

  static async open(options: Partial<GateOptions> = {}, parent: string = tmpdir()): Promise<Ground> {
    const ground = new Ground(await mkdtemp(join(parent, 'avgate-')), await freshDatabase(), options)
    await ground.openGate()
    return ground
  }

  private constructor(folder: string, database: FreshDatabase, options: Partial<GateOptions>) {
    this.folder = folder
    this.database = database
    this.#options = options
  }

  get gate(): Gate {
    if (this.#gate === null) throw new TypeError('the gate is closed')
    return this.#gate
  }

  async openGate(): Promise<void> {
    const port = this.#port
    const { folder, database, door } = this
    const own = { db: database.db, sealing: gateKeySealing(SECRETS), dataDir: join(folder, 'hub'), door, logger: QUIET }
    this.#gate = await openGate({ listen: { host: '127.0.0.1', port }, ...own, ...this.#options })
    this.#port = this.#gate.port
  }
  #port = 0

  /** As a Hub that ends; the next one opens at the same port. */
  async closeGate(): Promise<void> {
    await this.#gate?.close()
    this.#gate = null
    await this.door.closeAll()
    this.door = new ConformanceDoor()
  }

  vm(options: GuestOptions = {}): Vm {
    const vm = new Vm(join(this.folder, `vm-${this.#vms.length}`), options)
    this.#vms.push(vm)
    return vm
  }

  /** A VM that was invited and is linked. */
  async machine(options: GuestOptions = {}): Promise<{ readonly machineId: MachineId; readonly vm: Vm; readonly guest: Guest }> {
    const machineId = newMachine()
    const vm = this.vm(options)
    await vm.insert(await this.gate.invite(machineId))
    vm.boot()
    return { machineId, vm, guest: await this.linked(machineId) }
  }

  /** The same, with an empty tree and the agent running. */
  async running(options: GuestOptions = {}): Promise<{ readonly machineId: MachineId; readonly vm: Vm; readonly guest: Guest }> {
    const made = await this.machine(options)
    await made.guest.plant(null, never)
    await this.start(made)
    return made
  }

  start({ machineId, guest }: { readonly machineId: MachineId; readonly guest: Guest }): Promise<void> {
    return guest.startAgent({ machineId, name: 'machine', token: TOKEN, memoryBytes: 512 * 1024 ** 2, processes: 200, diskBytes: 1024 ** 3 }, never)
  }

  linked(machineId: MachineId): Promise<Guest> {
    return this.gate.linked(machineId, WITHIN_MS, never)
  }

  /** A disk that was cloned while its VM was off. */
  async cloneOf(vm: Vm): Promise<Vm> {
    const clone = this.vm()
    await mkdir(clone.folder, { recursive: true })
    await cp(vm.state, clone.state, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true })
    return clone
  }

  async close(): Promise<void> {
    for (const vm of this.#vms) await vm.end()
    await this.closeGate()
    await this.database.close()
    await rm(this.folder, { recursive: true, force: true })
  }
}

export async function treeOf(guest: Guest, checkpointId: CheckpointId): Promise<TreeAccount> {
  return (await accountAfter(new Map(), guest.changes(checkpointId, null, never))).account
}
