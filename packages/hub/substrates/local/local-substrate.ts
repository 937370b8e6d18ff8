/** The port, carried out: each call looks first, acts, and leaves a state from which the same call may be made again. */
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { AutovibeError, type CheckpointId, type MachineId, type MachineLimits } from '@autovibe/contract'
import { KeyedLock } from '../keyed-lock.ts'
import type { Capabilities, CreateMachine, ObservedMachine, Snapshot, SnapshotHandle, Substrate, TreeChange, Usage } from '../substrate.ts'
import { capabilitiesOf } from './capabilities.ts'
import { compareTrees, differingLayers } from './changes.ts'
import { fileFailure } from './command.ts'
import { warmCache } from './compile-cache.ts'
import { listMachineIds, readMachine, removeFile, type SnapshotDocument, writeMachine } from './documents.ts'
import { Flats } from './flatten.ts'
import type { Host } from './host.ts'
import { collectLayers, discard, emptyTrash, Pins } from './layers.ts'
import { layerTree, machinePaths, snapshotPath } from './layout.ts'
import { Lives } from './lives.ts'
import { newTree } from './new-tree.ts'
import { observeMachines } from './observed.ts'
import { plantSnapshot } from './plant.ts'
import { Pool } from './pool.ts'
import type { Process } from './processes.ts'
import { endLeftSlots, forgetSlot } from './slots.ts'
import { repairRunning, takeSnapshot } from './snapshots.ts'
import { Spare } from './spare.ts'
import { Starts } from './starts.ts'
import { endMachine, findSupervisor, readLog, slotOf } from './supervisor.ts'
import { openViews } from './view.ts'
import { bringToDisk, snapshotOf } from './written.ts'

/** Beyond this the kernel's page of mount options comes near, and the merge is waited for. */
const TOO_DEEP = 200

/** As the port says, and two things that only a person on this host needs: the agent's first words, and a wait for background work. */
export class LocalSubstrate implements Substrate {
  readonly name = 'local'
  readonly #host: Host
  readonly #locks = new KeyedLock()
  readonly #pins = new Pins()
  readonly #flats: Flats
  readonly #spare: Spare
  readonly #pool: Pool
  readonly #lives: Lives
  readonly #starts: Starts
  #warming: Promise<void> = Promise.resolve()
  #collecting: Promise<void> = Promise.resolve()
  #collectsAgain = false

  constructor(host: Host) {
    this.#host = host
    this.#spare = new Spare(host.layout, this.#pins)
    this.#flats = new Flats(host, this.#pins, this.#locks)
    this.#pool = new Pool(host, host.offer.copy === 'C3' ? (host.options.warmMost ?? 0) : 0)
    this.#lives = new Lives(host)
    this.#starts = new Starts(host, this.#pool, this.#lives)
  }

  capabilities(): Capabilities {
    return capabilitiesOf(this.#host)
  }

  findings(): Host['offer']['findings'] {
    return this.#host.offer.findings
  }

  create(machine: CreateMachine, signal: AbortSignal): Promise<void> {
    return this.#exclusively(machine.machineId, 'Making the machine', async () => {
      const { layout } = this.#host
      const paths = machinePaths(layout, machine.machineId)
      await mkdir(paths.socketDir, { recursive: true, mode: 0o700 })
      await writeFile(paths.token, machine.token, { mode: 0o600 })
      if ((await readMachine(layout, machine.machineId)) !== null) return
      const from = machine.from === null ? null : await snapshotOf(this.#host, machine.from)
      await newTree(this.#host, this.#pins, this.#flats, { ...machine, handle: machine.from, from, createdAt: new Date().toISOString() }, signal)
    })
  }

  start(machineId: MachineId, signal: AbortSignal): Promise<void> {
    return this.#exclusively(machineId, 'Starting the machine', async () => {
      const paths = machinePaths(this.#host.layout, machineId)
      const document = await readMachine(this.#host.layout, machineId)
      if (document === null) throw new AutovibeError('substrate.failed', 'The machine no longer exists on this host.')
      signal.throwIfAborted()
      const supervisor = await this.#supervisorOf(machineId)
      if (supervisor !== null) return this.#starts.goOn(machineId, document, supervisor)
      // A pid file without its process: what that process held up may have outlived it.
      if (existsSync(paths.pid)) await endMachine(this.#host, machineId, null)
      await forgetSlot(this.#host, machineId)
      await removeFile(join(paths.folder, 'frozen'))
      if (document.layers.length > TOO_DEEP) await this.#flats.merge(document.layers)
      const layers = this.#flats.shorten(document.layers)
      const unpin = this.#pins.add(layers)
      try {
        const ready = layers.length === document.layers.length ? document : { ...document, layers }
        if (ready !== document) await writeMachine(this.#host.layout, machineId, ready)
        await this.#starts.start(machineId, ready, document.limits ?? this.#host.defaultLimits, signal)
      } catch (error) {
        // Of a slot that was taken over only in part, the processes run.
        await endMachine(this.#host, machineId, null)
        await this.#lives.end(machineId)
        throw error
      } finally {
        unpin()
      }
      this.#flats.consider(layers)
    })
  }

  stop(machineId: MachineId, _signal: AbortSignal): Promise<void> {
    return this.#exclusively(machineId, 'Stopping the machine', async () => {
      // While it runs, the kernel still knows the layer that it writes to, should a snapshot have failed to write that down.
      const supervisor = await this.#supervisorOf(machineId)
      if (supervisor !== null) await repairRunning(this.#host, machineId, supervisor)
      await this.#end(machineId)
    })
  }

  destroy(machineId: MachineId, _signal: AbortSignal): Promise<void> {
    return this.#exclusively(machineId, 'Destroying the machine', async () => {
      await this.#end(machineId)
      await discard(this.#host, machinePaths(this.#host.layout, machineId).folder)
      this.#lives.forget(machineId)
      this.#collectSoon()
    })
  }

  snapshot(machineId: MachineId, checkpointId: CheckpointId, signal: AbortSignal): Promise<Snapshot> {
    return this.#exclusively(machineId, 'Taking the snapshot', () =>
      takeSnapshot(this.#host, this.#pins, this.#flats, this.#spare, machineId, checkpointId, signal),
    )
  }

  plant(machineId: MachineId, checkpointId: CheckpointId, write: (folder: string) => Promise<void>, signal: AbortSignal): Promise<Snapshot> {
    return this.#exclusively(machineId, 'Making a snapshot', () => plantSnapshot(this.#host, this.#pins, { machineId, checkpointId, write }, signal))
  }

  rollback(machineId: MachineId, to: SnapshotHandle, signal: AbortSignal): Promise<void> {
    return this.#exclusively(machineId, 'Rolling the machine back', async () => {
      const snapshot = await snapshotOf(this.#host, to)
      const document = await readMachine(this.#host.layout, machineId)
      if (document === null) throw new AutovibeError('substrate.failed', 'The machine no longer exists on this host.')
      await this.#end(machineId)
      const { name, limits, created_at: createdAt } = document
      await newTree(this.#host, this.#pins, this.#flats, { machineId, name, limits: limits ?? undefined, handle: to, from: snapshot, createdAt }, signal)
      this.#collectSoon()
    })
  }

  dropSnapshot(handle: SnapshotHandle, _signal: AbortSignal): Promise<void> {
    return this.#locks.run('snapshots', async () => {
      await removeFile(snapshotPath(this.#host.layout, handle))
      this.#collectSoon()
    })
  }

  /** A change's `open` may be called until the iteration ends. */
  async *changes(handle: SnapshotHandle, since: SnapshotHandle | null, signal: AbortSignal): AsyncGenerator<TreeChange> {
    // What is read from now on is kept for good, and so must not be lost with the host.
    await bringToDisk(this.#host, this.#locks, handle)
    // Whoever took this snapshot takes another one soon, and then shall not stand still for its folders; what keeps them from being made, a full disk, is told to whoever needs them.
    if (this.#host.offer.copy === 'C3') await this.#spare.make().catch(() => undefined)
    const { after, before, unpin } = await this.#pinPair(handle, since)
    try {
      if (since === handle) return
      const differing = before === null ? null : differingLayers(before.layers, after.layers)
      const views = await openViews(this.#host, before === null ? [after.layers] : [after.layers, before.layers])
      try {
        const [now, was = null] = views.trees
        if (now === undefined) throw new TypeError('no view was opened')
        yield* compareTrees({ after: now, before: was, layers: differing?.map((layer) => Buffer.from(layerTree(this.#host.layout, layer))) ?? null, signal })
      } catch (error) {
        throw signal.aborted ? signal.reason : fileFailure('Comparing two snapshots', error)
      } finally {
        await views.close()
      }
    } finally {
      unpin()
    }
  }

  measure(machineId: MachineId, _signal: AbortSignal): Promise<Usage | null> {
    return this.#lives.measure(machineId)
  }

  limit(machineId: MachineId, limits: MachineLimits, _signal: AbortSignal): Promise<void> {
    return this.#exclusively(machineId, 'Limiting the machine', async () => {
      const document = await readMachine(this.#host.layout, machineId)
      if (document === null || isDeepStrictEqual(document.limits, limits)) return
      await writeMachine(this.#host.layout, machineId, { ...document, limits })
      await this.#lives.limit(machineId, limits)
    })
  }

  list(_signal: AbortSignal): Promise<readonly ObservedMachine[]> {
    return observeMachines(this.#host)
  }

  /** The first words of the machine's agent on its standard output and error, for diagnosis; at most 16 KiB. */
  agentLog(machineId: MachineId): Promise<string> {
    return readLog(machinePaths(this.#host.layout, machineId))
  }

  /** Returns when no work goes on in the background. */
  async settled(): Promise<void> {
    await this.#warming
    await this.#pool.settled()
    await this.#collecting
    await this.#flats.settled()
    await this.#lives.settled()
  }

  /** Boots machines in advance until so many wait for a project. */
  warm(count: number): Promise<void> {
    return this.#pool.fill(count)
  }

  /** Ends the machines that wait for a project; those that have one go on. */
  async close(): Promise<void> {
    await this.#pool.close()
    await this.#spare.end(this.#host)
    this.#host.mounter.close()
  }

  /** Opens the doors of all machines that run, and repairs what an earlier process left in the middle. */
  async takeOver(): Promise<void> {
    const { layout, options } = this.#host
    let repaired = true
    for (const machineId of await listMachineIds(layout)) {
      const supervisor = await findSupervisor(this.#host, machineId)
      if (supervisor === null) continue
      try {
        const document = await readMachine(layout, machineId)
        if (document !== null) await this.#starts.goOn(machineId, document, supervisor)
      } catch (error) {
        repaired = false
        options.logger.warn({ err: error, machine_id: machineId }, 'a running machine could not be taken over')
      }
    }
    await endLeftSlots(this.#host)
    const machines = await listMachineIds(layout)
    const known = new Set<string | null>(machines.flatMap((machineId) => [machineId, slotOf(this.#host, machineId)]))
    await this.#lives.removeOrphans((name) => known.has(name))
    await emptyTrash(this.#host)
    // A machine that could not be repaired may write to a layer that no file names.
    if (repaired) await this.#collect().catch((error: unknown) => options.logger.warn({ err: error }, 'layers that nobody names could not be removed'))
    this.#warming = warmCache(this.#host).catch((error: unknown) =>
      options.logger.warn({ err: error }, 'the compile cache of the agent could not be made; machines start more slowly'),
    )
  }

  async #end(machineId: MachineId): Promise<void> {
    await this.#lives.beforeEnd(machineId)
    await endMachine(this.#host, machineId, await this.#lives.groupOf(machineId))
    await this.#lives.end(machineId)
    await forgetSlot(this.#host, machineId)
    await this.#host.options.door.close(machineId)
  }

  /** Looking for one that left no pid file takes a look at every process of the host. */
  async #supervisorOf(machineId: MachineId): Promise<Process | null> {
    const isOver = slotOf(this.#host, machineId) === null && (await this.#lives.isOver(machineId))
    return isOver ? null : findSupervisor(this.#host, machineId)
  }

  /** Both snapshots with their layers held, read under the lock that moves snapshots to merged layers. */
  #pinPair(handle: SnapshotHandle, since: SnapshotHandle | null): Promise<{ after: SnapshotDocument; before: SnapshotDocument | null; unpin: () => void }> {
    return this.#locks.run('snapshots', async () => {
      const after = await snapshotOf(this.#host, handle)
      const before = since === null ? null : await snapshotOf(this.#host, since)
      if (since !== null && since !== handle && !after.line.includes(since))
        throw new AutovibeError('substrate.failed', `The snapshot ${since} is no ancestor of ${handle}.`)
      return { after, before, unpin: this.#pins.add([...after.layers, ...(before?.layers ?? [])]) }
    })
  }

  #collect(): Promise<void> {
    return collectLayers(this.#host, this.#pins, (layer) => this.#flats.forget(layer))
  }

  /** Nobody waits for layers to go. One look that has not begun yet serves all who ask until then. */
  #collectSoon(): void {
    if (this.#collectsAgain) return
    this.#collectsAgain = true
    this.#collecting = this.#collecting
      .then(() => {
        this.#collectsAgain = false
        return this.#collect()
      })
      .catch((error: unknown) => this.#host.options.logger.warn({ err: error }, 'layers that nobody names could not be removed; the next look tries again'))
  }

  async #exclusively<T>(machineId: MachineId, what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await this.#locks.run(machineId, work)
    } catch (error) {
      throw fileFailure(what, error)
    }
  }
}
