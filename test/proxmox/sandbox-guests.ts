/** Guests that are real processes: a disk is a folder, and a VM runs a command in a sandbox of its own, with a network of its own. */
import { randomUUID } from 'node:crypto'
import { closeSync, openSync } from 'node:fs'
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { processSnapshot } from '../../packages/hub/substrates/local/processes.ts'
import { hostnameOf, serialOf } from './boot-facts.ts'
import { DiskFolders } from './disk-folders.ts'
import { GuestNetwork, type Reachable } from './guest-network.ts'
import { Spent, usageOf } from './guest-usage.ts'
import type { Boot, Disk, DiskSource, GuestAgent, Guests, Network, SnapshotRequest, Usage } from './guests.ts'
import { RunningGuests } from './running-guests.ts'
import { Sandbox } from './sandbox.ts'
import { SandboxAgent } from './sandbox-agent.ts'
import { openPlaces } from './sandbox-network.ts'
import { bubblewrap } from './sandbox-view.ts'

export interface SandboxOptions {
  /** A folder of its own, removed at the end. */
  readonly root: string
  /** What a VM runs; it ends with it. */
  readonly command: (boot: Boot) => readonly string[]
  /** The only places beyond a VM, asked at each start; its rules say which of them it reaches. */
  readonly reachable?: (boot: Boot) => readonly Reachable[]
  /** Folders that guests may read besides the system's, Node's and the checkout. */
  readonly readable?: readonly string[]
}

interface Running {
  readonly boot: Boot
  readonly network: GuestNetwork
  readonly spent: Spent
  sandbox: Sandbox
  agent: SandboxAgent
  isPaused: boolean
}

export class SandboxGuests implements Guests {
  /** Guests whose agent does not answer. */
  readonly silent = new Set<number>()
  readonly #running = new RunningGuests<Running>()
  readonly running = this.#running.all
  readonly #options: SandboxOptions
  readonly #disks: DiskFolders
  readonly #isRoot = process.getuid?.() === 0

  private constructor(options: SandboxOptions, disks: DiskFolders) {
    this.#options = options
    this.#disks = disks
  }

  static async open(options: SandboxOptions): Promise<SandboxGuests> {
    return new SandboxGuests(options, await DiskFolders.open(join(options.root, 'disks')))
  }

  /** Where a disk's files are. */
  folder(disk: Disk): string {
    return this.#disks.folder(disk)
  }

  /** The file with all that a VM's command has said in its starts. */
  console(vmid: number): string {
    return join(this.#options.root, 'vms', String(vmid), 'console')
  }

  async createDisk(disk: Disk, source: DiskSource): Promise<void> {
    await this.#disks.create(disk)
    if (source.kind === 'file') await copyFile(source.path, join(this.folder(disk), 'image'))
  }

  /** Both kinds alike: neither shares anything with its origin that could be taken from it. */
  cloneDisk(from: Disk, snapshot: string | null, to: Disk, _how: 'linked' | 'full'): Promise<void> {
    return this.#disks.clone(from, snapshot, to)
  }

  async resizeDisk(): Promise<void> {}

  deleteDisk(disk: Disk): Promise<void> {
    return this.#disks.delete(disk)
  }

  /** A running guest stands still meanwhile, which is what makes all disks of one moment. */
  snapshot({ vmid, name, disks, memory }: SnapshotRequest): Promise<void> {
    return this.#running.inTurn(vmid, async () => {
      const guest = this.running.get(vmid)
      const sandbox = guest?.isPaused === false ? guest.sandbox : undefined
      await sandbox?.hold()
      try {
        for (const disk of disks) await this.#disks.keep(disk, name)
      } finally {
        sandbox?.letGo()
      }
      this.#running.keepMemory(memory, { vmid, snapshot: name })
    })
  }

  async rollback(_vmid: number, name: string, disks: readonly Disk[]): Promise<void> {
    for (const disk of disks) await this.#disks.goBack(disk, name)
  }

  async deleteSnapshot({ name, disks, memory }: SnapshotRequest): Promise<void> {
    for (const disk of disks) await this.#disks.drop(disk, name)
    this.#running.dropMemory(memory)
  }

  /** Cold in any case: a process cannot be taken up again from nothing. */
  start(boot: Boot): Promise<void> {
    return this.#running.start(boot, () => this.#boot(boot, boot.network, new Spent()))
  }

  stop(vmid: number): Promise<void> {
    return this.#running.inTurn(vmid, async () => {
      const guest = this.running.get(vmid)
      if (guest) await this.#running.end(guest, () => guest.sandbox.kill())
    })
  }

  async shutdown(vmid: number): Promise<void> {
    this.#running.get(vmid).sandbox.ask()
  }

  /** Its processes end, as by a crash of theirs. */
  async crash(vmid: number): Promise<void> {
    await this.#running.get(vmid).sandbox.kill()
  }

  reset(vmid: number): Promise<void> {
    return this.#running.inTurn(vmid, async () => {
      const guest = this.#running.get(vmid)
      this.usage(vmid)
      guest.spent.reset()
      await this.#running.end(guest, () => guest.sandbox.kill())
      await this.#boot(guest.boot, guest.network.network, guest.spent)
    })
  }

  pause(vmid: number): Promise<void> {
    return this.#running.inTurn(vmid, async () => {
      const guest = this.#running.get(vmid)
      guest.isPaused = true
      await guest.sandbox.hold()
    })
  }

  resume(vmid: number): Promise<void> {
    return this.#running.inTurn(vmid, async () => {
      const guest = this.#running.get(vmid)
      guest.sandbox.letGo()
      guest.isPaused = false
    })
  }

  async networkChanged(vmid: number, network: Network): Promise<void> {
    this.#running.get(vmid).network.change(network)
  }

  agent(vmid: number): GuestAgent | null {
    const guest = this.running.get(vmid)
    return !guest || guest.isPaused || this.silent.has(vmid) ? null : guest.agent
  }

  usage(vmid: number): Usage {
    const guest = this.running.get(vmid)
    return usageOf(guest?.sandbox.processes(processSnapshot()) ?? [], guest ?? { spent: new Spent(), network: { received: 0, sent: 0 } })
  }

  onEnded(listener: (vmid: number) => void): void {
    this.#running.onEnded(listener)
  }

  async close(): Promise<void> {
    await Promise.all([...this.running.keys()].map((vmid) => this.stop(vmid)))
    await this.#disks.close()
    await rm(this.#options.root, { recursive: true, force: true })
  }

  async #boot(boot: Boot, rules: Network, spent: Spent): Promise<void> {
    const place = join(this.#options.root, 'vms', String(boot.vmid))
    await mkdir(place, { recursive: true })
    const [serial, bootId] = [join(place, 'serial'), join(place, 'boot-id')]
    await writeFile(serial, `${serialOf(boot)}\n`)
    await writeFile(bootId, `${randomUUID()}\n`)
    const [first] = boot.disks
    const view = { disk: first ? this.folder(first) : null, serial, bootId, hostname: hostnameOf(boot), readable: this.#options.readable ?? [] }
    const network = new GuestNetwork(rules)
    const console = openSync(this.console(boot.vmid), 'a')
    const sandbox = await Sandbox.start({
      bubblewrap: bubblewrap(view, this.#isRoot),
      command: this.#options.command(boot),
      prepare: (pid) => openPlaces(network, pid, this.#options.reachable?.(boot) ?? [], this.#isRoot),
      console,
      isRoot: this.#isRoot,
    })
      .catch((error: unknown) => {
        network.close()
        throw error
      })
      .finally(() => closeSync(console))
    const guest: Running = { boot, network, spent, sandbox, agent: new SandboxAgent(boot, sandbox, () => sandbox.ask()), isPaused: false }
    this.#running.began(guest, sandbox.ended)
  }
}
