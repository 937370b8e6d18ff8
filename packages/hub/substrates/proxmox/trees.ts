/** The trees of machines, by their guests: the VM is on, its guest linked, its tree the one that was asked for. */
import { AutovibeError, type CheckpointId, type MachineId } from '@autovibe/contract'
import type { StoredState } from '@autovibe/core/proxmox/held-trees.ts'
import type { TreeChange } from '../substrate.ts'
import type { Guest } from './guest-links.ts'
import { ensureOff, ensureOn } from './power.ts'
import type { VmRecord } from './records.ts'
import type { Site } from './site.ts'
import { ownVm } from './vms.ts'

/** How often the store is asked about a tree that is on its way. */
export const STORE_POLL_MS = 200

/** The guest of a VM that was turned on if it was off; its tree is whatever lies on the disk. */
export async function guestOf(site: Site, machine: VmRecord, signal: AbortSignal): Promise<{ readonly record: VmRecord; readonly guest: Guest }> {
  site.neededMs.set(machine.machine_id, site.client.clock.nowMs())
  const record = await ensureOn(site, machine, signal)
  return { record, guest: await site.links.linked(record.machine_id, site.patience.bootMs, signal) }
}

/** The same with the tree that the row asks for, and no agent at work while it is changed. */
export async function guestWithTree(site: Site, machine: VmRecord, signal: AbortSignal): Promise<{ readonly record: VmRecord; readonly guest: Guest }> {
  const { record, guest } = await guestOf(site, machine, signal)
  const { agent, frozen, hasTree } = await guest.state(signal)
  const wanted = record.tree ?? (hasTree ? null : 'empty')
  if (wanted === null) return { record, guest }
  if (agent === 'running') await guest.stopAgent(signal)
  if (wanted === 'empty') await guest.plant(null, signal)
  else if (frozen.includes(wanted)) await guest.rollBack(wanted, signal)
  else await plantStored(site, guest, wanted, signal)
  return { record: await site.records.set(record.machine_id, { tree: null }), guest }
}

async function plantStored(site: Site, guest: Guest, checkpointId: CheckpointId, signal: AbortSignal): Promise<void> {
  const state = await stored(site, checkpointId, signal)
  if (state === 'coming')
    throw new AutovibeError(
      'substrate.unavailable',
      `Checkpoint ${checkpointId} is still being stored, and this storage can make machines from it only afterwards.`,
      {
        fix: `autovibe checkpoint show ${checkpointId} tells when it is verified.`,
      },
    )
  if (state !== 'kept') throw gone(checkpointId)
  await guest.plant(site.trees.tar(checkpointId, signal), signal)
  // What changes from here on is told against it.
  await guest.freeze(checkpointId, signal)
}

/** Whether the store has it, or will. */
export const isToBeHad = (state: StoredState): boolean => state === 'kept' || state === 'coming'

/** As the store says when it has come to a decision, or when patience has ended. */
async function stored(site: Site, checkpointId: CheckpointId, signal: AbortSignal): Promise<StoredState> {
  const { clock } = site.client
  const untilMs = clock.nowMs() + site.patience.storeMs
  for (;;) {
    const state = await site.trees.state(checkpointId)
    if (state !== 'coming' || clock.nowMs() >= untilMs) return state
    await clock.pause(STORE_POLL_MS, signal)
  }
}

/** What lies between two checkpoints: from the disk of the VM that has them frozen, or else out of the store. */
export async function* changesOf(site: Site, checkpointId: CheckpointId, since: CheckpointId | null, signal: AbortSignal): AsyncGenerator<TreeChange, void> {
  const [of, from] = await Promise.all([checkpointId, since].map((id) => (id === null ? null : known(site, id))))
  if (of === undefined || of === null) throw gone(checkpointId)
  if (from === undefined && since !== null) throw gone(since)
  const machine = of.machineId === null ? null : await site.records.find(of.machineId)
  if (machine !== null) {
    using _ = reading(site, machine.machine_id)
    // Not in the machine's turn: a rollback that has it waits for this very tree to be stored.
    const { guest } = await guestOf(site, machine, signal)
    const { frozen } = await guest.state(signal)
    if (frozen.includes(checkpointId)) {
      if (since !== null && !frozen.includes(since))
        throw new AutovibeError('substrate.failed', `Checkpoint ${since} is not on the line of ${checkpointId}: the machine's disk does not know it.`, {
          fix: 'Compare them as they are stored: autovibe diff',
        })
      yield* bounded(guest.changes(checkpointId, since, signal), machine.limits.disk_bytes)
      return
    }
  }
  if (!of.isKept || (since !== null && from?.isKept !== true)) throw gone(of.isKept ? (since ?? checkpointId) : checkpointId)
  yield* site.trees.changes(checkpointId, since, signal)
}

/** No more than a disk of that size can hold, sparse files and all: a guest that tells of more would fill the Hub's own. */
async function* bounded(changes: AsyncIterable<TreeChange>, diskBytes: number): AsyncGenerator<TreeChange, void> {
  let left = diskBytes * SPARSE_TIMES + SLACK_BYTES
  for await (const change of changes) {
    if (change.kind === 'put' && change.entry.type === 'file') left -= change.entry.size
    if (left < 0)
      throw new AutovibeError('substrate.failed', `The machine tells of more than its disk of ${diskBytes} bytes can hold.`, {
        fix: 'See what is in its tree: autovibe exec MACHINE -- du -h --apparent-size .',
      })
    yield change
  }
}

/** Files may have holes, and several names. */
const SPARSE_TIMES = 4
const SLACK_BYTES = 1024 ** 3

/** Whose checkpoint it is, and whether the store has it; undefined for one that nobody has. */
async function known(site: Site, checkpointId: CheckpointId): Promise<{ readonly machineId: MachineId | null; readonly isKept: boolean } | undefined> {
  const record = await site.records.snapshot(checkpointId)
  if (record?.state === 'dropped') return undefined
  const isKept = (await site.trees.state(checkpointId)) === 'kept'
  return record?.state === 'taken' || isKept ? { machineId: record?.machine_id ?? null, isKept } : undefined
}

export const gone = (checkpointId: string): AutovibeError =>
  new AutovibeError('substrate.snapshot_gone', `The snapshot of checkpoint ${checkpointId} no longer exists.`, {
    fix: 'autovibe checkpoint list shows others.',
  })

/** As long as it is held, the machine's VM stays on. */
function reading(site: Site, machineId: MachineId): Disposable {
  site.readers.set(machineId, (site.readers.get(machineId) ?? 0) + 1)
  return {
    [Symbol.dispose]: () => {
      const left = (site.readers.get(machineId) ?? 1) - 1
      if (left > 0) site.readers.set(machineId, left)
      else site.readers.delete(machineId)
      site.neededMs.set(machineId, site.client.clock.nowMs())
    },
  }
}

/**
 * The agent and all that it started have ended; the VM stays on for whoever still reads its trees. One whose guest does not answer is turned off, by its button if that
 * helps: what the agent wrote last shall come to the disk.
 */
export async function haltAgent(site: Site, record: VmRecord, signal: AbortSignal): Promise<void> {
  const { machine_id: machineId } = record
  await site.records.set(machineId, { agent: false })
  site.neededMs.set(machineId, site.client.clock.nowMs())
  const found = await ownVm(site, record, signal)
  if (found === null || found.status.status !== 'running') return
  try {
    // After a restart of the Hub its guest may just be dialling.
    const guest = await site.links.linked(machineId, site.patience.linkMs, signal)
    const within = AbortSignal.any([signal, AbortSignal.timeout(site.patience.haltMs)])
    // Asked first, because that is answered soon or not at all.
    await guest.state(within)
    await guest.stopAgent(within)
  } catch (error) {
    signal.throwIfAborted()
    site.logger.warn({ err: error, machineId }, 'a guest did not end its agent; the VM is turned off')
    await ensureOff(site, found.record, 'button', signal)
  }
}
