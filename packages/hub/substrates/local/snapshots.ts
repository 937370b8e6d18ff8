/** Takes snapshots: a new layer is swapped under the running machine where nobody stands in its tree, otherwise the tree is copied while it stands still. */
import { rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { AutovibeError, type CheckpointId, type MachineId } from '@autovibe/contract'
import type { Snapshot } from '../substrate.ts'
import {
  type MachineDocument,
  readMachine,
  readSnapshot,
  removeFile,
  type SnapshotDocument,
  writeMachine,
  writeMachineSoon,
  writeSnapshotSoon,
} from './documents.ts'
import type { Flats } from './flatten.ts'
import { type Frozen, freeze, hasOpenForWriting, thawAll } from './freeze.ts'
import type { Host } from './host.ts'
import { copyTree, type Pins, withNewLayer } from './layers.ts'
import { layerTree, machinePaths } from './layout.ts'
import { mountedIn, mountTree, setReadOnly, swapUpper } from './overlay.ts'
import { holdsDevice, type Process } from './processes.ts'
import type { Spare } from './spare.ts'
import { findSupervisor } from './supervisor.ts'

/** A file that is being written is usually closed again within a few milliseconds. */
const ATTEMPTS = 4
const RETRY_MS = 15

/** The snapshot under this checkpoint's id; the same answer when it was taken before. */
export async function takeSnapshot(
  host: Host,
  pins: Pins,
  flats: Flats,
  spare: Spare,
  machineId: MachineId,
  checkpointId: CheckpointId,
  signal: AbortSignal,
): Promise<Snapshot> {
  const taken = await readSnapshot(host.layout, checkpointId)
  // Of a boot that has ended it is worth nothing, and nobody has been told of it: then it is taken again.
  if (taken !== null && (taken.unwritten_boot === null || taken.unwritten_boot === host.boot)) {
    if (taken.machine !== machineId) throw new AutovibeError('substrate.failed', 'A snapshot of another machine has this checkpoint’s id.')
    return { handle: checkpointId, consistency: taken.consistency }
  }
  const machine = await readMachine(host.layout, machineId)
  if (machine === null) throw new AutovibeError('substrate.failed', 'The machine no longer exists on this host.')
  signal.throwIfAborted()
  const supervisor = await findSupervisor(host, machineId)
  if (supervisor !== null) await repairRunning(host, machineId, supervisor)
  const current = (await readMachine(host.layout, machineId)) ?? machine
  const stack = await (supervisor === null
    ? freezeStopped(host, pins, machineId, current, checkpointId, signal)
    : freezeRunning(host, pins, flats, spare, machineId, current, checkpointId, supervisor, signal))
  const line = current.line.filter((earlier) => earlier !== checkpointId)
  const document: SnapshotDocument = {
    version: 1,
    machine: machineId,
    created_at: new Date().toISOString(),
    layers: stack.layers,
    line,
    consistency: stack.consistency,
    unwritten_boot: host.boot,
  }
  try {
    await extendLine(host, machineId, checkpointId)
    writeSnapshotSoon(host.layout, checkpointId, document)
  } finally {
    stack.unpin()
  }
  flats.consider(stack.layers)
  return { handle: checkpointId, consistency: stack.consistency }
}

/** What a Hub that ended in the middle left: a tree that is read-only or unmounted, a layer the machine's file does not name yet, processes that stand still. */
export async function repairRunning(host: Host, machineId: MachineId, supervisor: Process): Promise<void> {
  const document = await readMachine(host.layout, machineId)
  if (document === null) return
  if (document.copy === 'overlay') {
    const mounted = mountedIn(host, supervisor.pid)
    if (mounted.upper === null) await mountTree(host, supervisor.pid, mounted.tree, document.layers, document.upper)
    else if (mounted.upper !== document.upper) await writeMachine(host.layout, machineId, above(document, document.layers, mounted.upper, null))
    if (mounted.readOnly) await setReadOnly(host, supervisor.pid, mounted.tree, false)
  }
  const mark = frozenMark(host, machineId)
  if (statSync(mark, { throwIfNoEntry: false }) === undefined) return
  await thawAll(host, machineId, supervisor)
  await removeFile(mark)
}

interface Stack {
  readonly layers: string[]
  readonly consistency: Snapshot['consistency']
  /** Keeps a copy from the collector until the snapshot's file names it. */
  readonly unpin: () => void
}

const frozenMark = (host: Host, machineId: MachineId): string => join(machinePaths(host.layout, machineId).folder, 'frozen')

/** The machine on a new layer, its line with the snapshot that this is for. */
const above = (machine: MachineDocument, layers: readonly string[], upper: string, checkpointId: CheckpointId | null): MachineDocument => ({
  ...machine,
  layers: [...layers, machine.upper],
  upper,
  line: checkpointId === null || machine.line.at(-1) === checkpointId ? machine.line : [...machine.line, checkpointId],
})

async function freezeStopped(
  host: Host,
  pins: Pins,
  machineId: MachineId,
  machine: MachineDocument,
  checkpointId: CheckpointId,
  signal: AbortSignal,
): Promise<Stack> {
  if (machine.copy === 'copy') return copyAside(host, pins, machine, 'consistent', false, signal)
  return withNewLayer(host.layout, pins, async (upper) => {
    const next = above(machine, machine.layers, upper, checkpointId)
    // First the machine lets go of the layer, then the snapshot names it: the other way round, a crash between would let a frozen layer be written to.
    const unpin = pins.add(next.layers)
    writeMachineSoon(host.layout, machineId, next)
    return { layers: next.layers, consistency: 'consistent', unpin }
  })
}

async function freezeRunning(
  host: Host,
  pins: Pins,
  flats: Flats,
  spare: Spare,
  machineId: MachineId,
  machine: MachineDocument,
  checkpointId: CheckpointId,
  supervisor: Process,
  signal: AbortSignal,
): Promise<Stack> {
  const mark = frozenMark(host, machineId)
  writeFileSync(mark, '', { mode: 0o600 })
  for (let attempt = 1; ; attempt++) {
    const frozen = await freeze(host, machineId, supervisor)
    try {
      const stack = await (machine.copy === 'copy'
        ? copyRunning(host, pins, machine, frozen, attempt, signal)
        : swapRunning(host, pins, flats, spare, machineId, machine, checkpointId, supervisor, frozen, attempt, signal))
      if (stack !== 'busy') return stack
    } finally {
      frozen.thaw()
      rmSync(mark, { force: true })
    }
    await delay(RETRY_MS)
    signal.throwIfAborted()
    writeFileSync(mark, '', { mode: 0o600 })
  }
}

async function copyRunning(host: Host, pins: Pins, machine: MachineDocument, frozen: Frozen, attempt: number, signal: AbortSignal): Promise<Stack | 'busy'> {
  const writing = !frozen.complete || hasOpenForWriting(frozen.processes, layerTree(host.layout, machine.upper))
  if (writing && attempt < ATTEMPTS) return 'busy'
  return copyAside(host, pins, machine, writing ? 'fuzzy' : 'consistent', true, signal)
}

async function swapRunning(
  host: Host,
  pins: Pins,
  flats: Flats,
  spare: Spare,
  machineId: MachineId,
  machine: MachineDocument,
  checkpointId: CheckpointId,
  supervisor: Process,
  frozen: Frozen,
  attempt: number,
  signal: AbortSignal,
): Promise<Stack | 'busy'> {
  const { tree } = mountedIn(host, supervisor.pid)
  const device = statSync(`/proc/${supervisor.pid}/root${tree}`).dev
  // A process that stands in the old tree, or has something of it open, would be left there when the new one is mounted: for it the tree must stay.
  const stays = !frozen.complete || frozen.processes.some(({ pid }) => holdsDevice(pid, device))
  // What no process shows (a file that is on its way from one to another) the kernel still sees, and then it is copied too.
  if (!stays && attempt < ATTEMPTS) {
    return spare.use(async (upper) => {
      const beneath = flats.shorten(machine.layers)
      const next = above(machine, beneath, upper, checkpointId)
      const unpin = pins.add(next.layers)
      const letGo = pins.add([upper])
      const unchanged = (): void => {
        unpin()
        letGo()
      }
      const swapped = await swapUpper(host, supervisor.pid, tree, next.layers, upper).catch((error: unknown) => {
        if (mountedIn(host, supervisor.pid).upper === machine.upper) unchanged()
        throw error
      })
      if (swapped === 'busy') {
        unchanged()
        return 'busy'
      }
      // If this fails (a full disk), the pins stay: the machine writes to a layer that no file names until it is repaired.
      writeMachineSoon(host.layout, machineId, next)
      letGo()
      return { layers: next.layers, consistency: 'consistent', unpin }
    })
  }
  const quiet = await setReadOnly(host, supervisor.pid, tree, true)
  try {
    if (!quiet && attempt < ATTEMPTS) return 'busy'
    return await copyAside(host, pins, machine, quiet && frozen.complete ? 'consistent' : 'fuzzy', true, signal)
  } finally {
    if (quiet) await setReadOnly(host, supervisor.pid, tree, false)
  }
}

/** A copy of the layer that the machine writes to, while the machine keeps it. */
async function copyAside(
  host: Host,
  pins: Pins,
  machine: MachineDocument,
  consistency: Snapshot['consistency'],
  live: boolean,
  signal: AbortSignal,
): Promise<Stack> {
  return withNewLayer(host.layout, pins, async (copy) => {
    await copyTree(host, machine.upper, copy, live, signal)
    const layers = [...machine.layers, copy]
    return { layers, consistency, unpin: pins.add(layers) }
  })
}

async function extendLine(host: Host, machineId: MachineId, checkpointId: CheckpointId): Promise<void> {
  const machine = await readMachine(host.layout, machineId)
  if (machine !== null && machine.line.at(-1) !== checkpointId) writeMachineSoon(host.layout, machineId, { ...machine, line: [...machine.line, checkpointId] })
}
