/** The port, carried out: each call looks first, acts, and leaves a state from which the same call may be made again. */
import { existsSync } from 'node:fs'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { AutovibeError, type CheckpointId, type MachineId } from '@autovibe/contract'
import type { Capabilities, CreateMachine, ObservedMachine, Snapshot, SnapshotHandle, Substrate, TreeChange, Usage } from '../substrate.ts'
import { compareTrees } from './changes.ts'
import { fileFailure } from './command.ts'
import { warmCache } from './compile-cache.ts'
import { listMachineIds, type MachineDocument, readMachine, readSnapshot, removeFile, type SnapshotDocument, writeMachine } from './documents.ts'
import { Flats } from './flatten.ts'
import type { Host } from './host.ts'
import { KeyedLock } from './keyed-lock.ts'
import { collectLayers, copyTree, discard, emptyTrash, Pins, withNewLayer } from './layers.ts'
import { layerTree, machinePaths, snapshotPath } from './layout.ts'
import { listMarked, usageOf } from './processes.ts'
import { repairRunning, takeSnapshot } from './snapshots.ts'
import { listStrays } from './strays.ts'
import { endMachine, findSupervisor, machineProcesses, readLog, startSupervisor } from './supervisor.ts'
import { onlyLayer, openViews } from './view.ts'

/** Beyond this the kernel's page of mount options comes near, and the merge is waited for. */
const TOO_DEEP = 200

/** As the port says, and two things that only a person on this host needs: the agent's first words, and a wait for background work. */
export class LocalSubstrate implements Substrate {
  readonly name = 'local'
  readonly #host: Host
  readonly #locks = new KeyedLock()
  readonly #pins = new Pins()
  readonly #flats: Flats
  #warming: Promise<void> = Promise.resolve()

  constructor(host: Host) {
    this.#host = host
    this.#flats = new Flats(host, this.#pins, this.#locks)
  }

  capabilities(): Capabilities {
    const { isolation, copy } = this.#host.offer
    const fence =
      isolation === 'I0'
        ? 'bare processes of the Hub’s user, not fenced in'
        : `bubblewrap ${isolation === 'I3' ? 'as root' : 'as an ordinary user'}: all namespaces, no capabilities, no network but the Hub`
    const copies = { C3: 'overlay layers', C2: 'copies that share blocks', C1: 'plain copies' }[copy]
    return {
      tier: { substrate: 'local', isolation, copy },
      summary: `${fence}; ${copies}`,
      isolated: isolation !== 'I0',
      liveSnapshot: true,
      constantTimeFork: copy === 'C3',
    }
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
      const from = machine.from === null ? null : await this.#snapshot(machine.from)
      await this.#newTree(machine.machineId, machine.name, machine.from, from, new Date().toISOString(), signal)
    })
  }

  start(machineId: MachineId, signal: AbortSignal): Promise<void> {
    return this.#exclusively(machineId, 'Starting the machine', async () => {
      const paths = machinePaths(this.#host.layout, machineId)
      const document = await readMachine(this.#host.layout, machineId)
      if (document === null) throw new AutovibeError('substrate.failed', 'The machine no longer exists on this host.')
      signal.throwIfAborted()
      await this.#host.options.door.listen(machineId, paths.socket)
      const supervisor = await findSupervisor(this.#host, machineId)
      if (supervisor !== null) return repairRunning(this.#host, machineId, supervisor)
      // A pid file without its process: what that process held up may have outlived it.
      if (existsSync(paths.pid)) await endMachine(this.#host, machineId)
      await removeFile(join(paths.folder, 'frozen'))
      if (document.layers.length > TOO_DEEP) await this.#flats.merge(document.layers)
      const layers = this.#flats.shorten(document.layers)
      const unpin = this.#pins.add(layers)
      try {
        const ready = layers.length === document.layers.length ? document : { ...document, layers }
        if (ready !== document) await writeMachine(this.#host.layout, machineId, ready)
        await startSupervisor(this.#host, machineId, ready, signal)
      } finally {
        unpin()
      }
      this.#flats.consider(layers)
    })
  }

  stop(machineId: MachineId, _signal: AbortSignal): Promise<void> {
    return this.#exclusively(machineId, 'Stopping the machine', () => this.#end(machineId))
  }

  destroy(machineId: MachineId, _signal: AbortSignal): Promise<void> {
    return this.#exclusively(machineId, 'Destroying the machine', async () => {
      await this.#end(machineId)
      await discard(this.#host, machinePaths(this.#host.layout, machineId).folder)
      await this.#collect()
    })
  }

  snapshot(machineId: MachineId, checkpointId: CheckpointId, signal: AbortSignal): Promise<Snapshot> {
    return this.#exclusively(machineId, 'Taking the snapshot', () => takeSnapshot(this.#host, this.#pins, this.#flats, machineId, checkpointId, signal))
  }

  rollback(machineId: MachineId, to: SnapshotHandle, signal: AbortSignal): Promise<void> {
    return this.#exclusively(machineId, 'Rolling the machine back', async () => {
      const snapshot = await this.#snapshot(to)
      const document = await readMachine(this.#host.layout, machineId)
      if (document === null) throw new AutovibeError('substrate.failed', 'The machine no longer exists on this host.')
      await this.#end(machineId)
      await this.#newTree(machineId, document.name, to, snapshot, document.created_at, signal)
      await this.#collect()
    })
  }

  dropSnapshot(handle: SnapshotHandle, _signal: AbortSignal): Promise<void> {
    return this.#locks.run('snapshots', async () => {
      await removeFile(snapshotPath(this.#host.layout, handle))
      await this.#collect()
    })
  }

  /** A change's `open` may be called until the iteration ends. */
  async *changes(handle: SnapshotHandle, since: SnapshotHandle | null, signal: AbortSignal): AsyncGenerator<TreeChange> {
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

  async measure(machineId: MachineId, _signal: AbortSignal): Promise<Usage | null> {
    const supervisor = await findSupervisor(this.#host, machineId)
    return supervisor === null ? null : usageOf(machineProcesses(this.#host, machineId, supervisor))
  }

  async list(_signal: AbortSignal): Promise<readonly ObservedMachine[]> {
    const { layout } = this.#host
    const running = new Set([...listMarked(layout.dataMark), ...listStrays(layout)].map((process) => process.machineId))
    const observed: ObservedMachine[] = []
    for (const machineId of new Set([...(await listMachineIds(this.#host.layout)), ...running])) {
      const document = await readMachine(this.#host.layout, machineId)
      observed.push({ machineId, power: running.has(machineId) ? 'running' : 'stopped', createdAt: document === null ? null : new Date(document.created_at) })
    }
    return observed
  }

  /** The first words of the machine's agent on its standard output and error, for diagnosis; at most 16 KiB. */
  agentLog(machineId: MachineId): Promise<string> {
    return readLog(this.#host, machineId)
  }

  /** Returns when no work goes on in the background. */
  async settled(): Promise<void> {
    await this.#warming
    await this.#flats.settled()
  }

  /** Opens the doors of all machines that run, and repairs what an earlier process left in the middle. */
  async takeOver(): Promise<void> {
    const { layout, options } = this.#host
    let repaired = true
    for (const machineId of await listMachineIds(layout)) {
      const supervisor = await findSupervisor(this.#host, machineId)
      if (supervisor === null) continue
      try {
        await repairRunning(this.#host, machineId, supervisor)
        await options.door.listen(machineId, machinePaths(layout, machineId).socket)
      } catch (error) {
        repaired = false
        options.logger.warn({ err: error, machine_id: machineId }, 'a running machine could not be taken over')
      }
    }
    await emptyTrash(this.#host)
    // A machine that could not be repaired may write to a layer that no file names.
    if (repaired) await this.#collect()
    this.#warming = warmCache(this.#host).catch((error: unknown) =>
      options.logger.warn({ err: error }, 'the compile cache of the agent could not be made; machines start more slowly'),
    )
  }

  async #end(machineId: MachineId): Promise<void> {
    await endMachine(this.#host, machineId)
    await this.#host.options.door.close(machineId)
  }

  async #newTree(
    machineId: MachineId,
    name: string,
    handle: SnapshotHandle | null,
    from: SnapshotDocument | null,
    createdAt: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { layout, offer } = this.#host
    const unpin = this.#pins.add(from?.layers ?? [])
    try {
      await withNewLayer(layout, this.#pins, async (upper) => {
        const copy = offer.copy === 'C3' ? 'overlay' : 'copy'
        if (from === null) for (const folder of ['project', 'home']) await makeFolder(join(layerTree(layout, upper), folder))
        else if (copy === 'copy') await copyTree(this.#host, onlyLayer(from.layers), upper, false, signal)
        const layers = copy === 'copy' || from === null ? [] : this.#flats.shorten(from.layers)
        const line = handle === null || from === null ? [] : [...from.line, handle]
        const document: MachineDocument = { version: 1, name, created_at: createdAt, copy, layers, upper, line }
        await writeMachine(layout, machineId, document)
      })
    } finally {
      unpin()
    }
  }

  async #snapshot(handle: SnapshotHandle): Promise<SnapshotDocument> {
    const document = await readSnapshot(this.#host.layout, handle)
    if (document === null) throw new AutovibeError('substrate.snapshot_gone', `The snapshot ${handle} no longer exists on this host.`)
    return document
  }

  /** Both snapshots with their layers held, read under the lock that moves snapshots to merged layers. */
  #pinPair(handle: SnapshotHandle, since: SnapshotHandle | null): Promise<{ after: SnapshotDocument; before: SnapshotDocument | null; unpin: () => void }> {
    return this.#locks.run('snapshots', async () => {
      const after = await this.#snapshot(handle)
      const before = since === null ? null : await this.#snapshot(since)
      if (since !== null && since !== handle && !after.line.includes(since))
        throw new AutovibeError('substrate.failed', `The snapshot ${since} is no ancestor of ${handle}.`)
      return { after, before, unpin: this.#pins.add([...after.layers, ...(before?.layers ?? [])]) }
    })
  }

  #collect(): Promise<void> {
    return collectLayers(this.#host, this.#pins, (layer) => this.#flats.forget(layer))
  }

  async #exclusively<T>(machineId: MachineId, what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await this.#locks.run(machineId, work)
    } catch (error) {
      throw fileFailure(what, error)
    }
  }
}

/** The layers above what two stacks share; null when they share nothing, so that everything is compared. */
function differingLayers(before: readonly string[], after: readonly string[]): readonly string[] | null {
  let shared = 0
  while (shared < before.length && before[shared] === after[shared]) shared += 1
  return shared === 0 ? null : [...before.slice(shared), ...after.slice(shared)]
}

async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true })
  await chmod(path, 0o755)
}
