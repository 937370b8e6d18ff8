/** What has to be put right: rows and what the substrate shows, compared purely. The sweep carries it out, by operations only. */
import type { CheckpointId, CheckpointState, MachineId, MachineState } from '@autovibe/contract'
import { isAwake } from '../machines/transitions.ts'

export interface MachineFact {
  readonly id: MachineId
  readonly state: MachineState
  /** An unfinished operation has the machine in its hands; nobody else touches it. */
  readonly inHands: boolean
  readonly lastHeartbeatAtMs: number | null
  /** Its token is void: it was on its way to be destroyed, and there is no way back. */
  readonly isClosed: boolean
  /** How many more times it may be started without anybody asking, because only the end of a Hub has stopped it. */
  readonly restartsLeft: number
}

export interface ObservedFact {
  readonly id: MachineId
  readonly running: boolean
}

export interface CheckpointFact {
  readonly id: CheckpointId
  readonly state: CheckpointState
  readonly hasSnapshot: boolean
}

/** What looked wrong at earlier looks: a thing must be seen wrong for its grace, and well at no look in between, before anyone acts. */
export type Suspicions = ReadonlyMap<string, Suspicion>

export interface Suspicion {
  /** For how long it was seen so. */
  readonly wrongMs: number
  /** At the last look that saw anything. */
  readonly seenAtMs: number
  /** Looks since then saw nothing at all. */
  readonly unseen?: true
}

export type Action =
  | { readonly kind: 'remove-orphan'; readonly machineId: MachineId }
  | { readonly kind: 'fail-machine'; readonly machineId: MachineId; readonly reason: string }
  | { readonly kind: 'destroy-machine'; readonly machineId: MachineId }
  | { readonly kind: 'start-machine'; readonly machineId: MachineId }
  | { readonly kind: 'store-checkpoint'; readonly checkpointId: CheckpointId }
  | { readonly kind: 'fail-checkpoint'; readonly checkpointId: CheckpointId }

export interface Look {
  readonly machines: readonly MachineFact[]
  readonly observed: readonly ObservedFact[]
  /** Checkpoints on their way (pending, capturing, stored) that no unfinished operation works on. */
  readonly strandedCheckpoints: readonly CheckpointFact[]
  readonly suspicions: Suspicions
  readonly nowMs: number
}

export interface Plan {
  readonly actions: readonly Action[]
  readonly suspicions: Suspicions
}

/** Long enough for a call that stalled to land, short enough not to waste a machine. */
export const GRACE_MS = 15_000
/** What one look counts for, when others before it saw nothing: they come so often. */
const LOOK_MS = 5_000
/** An agent that beats every five seconds has missed a dozen. */
export const SILENCE_MS = 60_000

/** Actions for what has been wrong for its grace, and what to remember for the next look. The same look twice gives the same plan. */
export function planReconciliation({ machines, observed, strandedCheckpoints, suspicions, nowMs }: Look): Plan {
  const wrong = new Map<string, Action>()
  const rows = new Map(machines.map((machine) => [machine.id, machine]))
  const running = new Map(observed.map(({ id, running }) => [id, running]))

  for (const { id } of observed) {
    const row = rows.get(id)
    if (!row || (row.state === 'destroyed' && !row.inHands)) wrong.set(`orphan ${id}`, { kind: 'remove-orphan', machineId: id })
  }
  for (const machine of machines) {
    if (machine.inHands || machine.state === 'destroyed') continue
    const action = whatIsWrong(machine, running.get(machine.id), nowMs)
    if (action) wrong.set(`machine ${machine.id} ${machine.state}`, action)
  }
  for (const { id, state, hasSnapshot } of strandedCheckpoints) {
    wrong.set(`checkpoint ${id} ${state}`, hasSnapshot ? { kind: 'store-checkpoint', checkpointId: id } : { kind: 'fail-checkpoint', checkpointId: id })
  }

  const next = new Map([...wrong.keys()].map((key) => [key, { wrongMs: wrongMsOf(suspicions.get(key), nowMs), seenAtMs: nowMs }]))
  const actions = [...wrong].filter(([key]) => (next.get(key)?.wrongMs ?? 0) >= GRACE_MS).map(([, action]) => action)
  return { actions, suspicions: next }
}

/** A look that saw nothing says nothing: what looked wrong before still does, and its grace stands still. Otherwise a cluster that comes and goes would keep anything from being put right. */
export const afterSilence = (suspicions: Suspicions): Suspicions =>
  new Map([...suspicions].map(([key, { wrongMs, seenAtMs }]) => [key, { wrongMs, seenAtMs, unseen: true }]))

function wrongMsOf(before: Suspicion | undefined, nowMs: number): number {
  if (before === undefined) return 0
  const { wrongMs, seenAtMs, unseen } = before
  const sinceMs = Math.max(0, nowMs - seenAtMs)
  if (!unseen) return wrongMs + sinceMs
  // In so long a silence much may have become otherwise: one look is not enough to act on.
  const kept = sinceMs < GRACE_MS ? wrongMs : Math.min(wrongMs, GRACE_MS - 2 * LOOK_MS)
  return kept + Math.min(sinceMs, LOOK_MS)
}

function whatIsWrong(
  { id: machineId, state, lastHeartbeatAtMs, isClosed, restartsLeft }: MachineFact,
  running: boolean | undefined,
  nowMs: number,
): Action | null {
  if (isClosed || state === 'requested' || state === 'provisioning') return { kind: 'destroy-machine', machineId }
  if (state === 'stopping') return { kind: 'fail-machine', machineId, reason: 'The machine was left between running and stopped.' }
  if (!isAwake(state)) {
    if (running) return { kind: 'fail-machine', machineId, reason: `The machine ran although it was ${state}.` }
    return restartsLeft > 0 ? { kind: 'start-machine', machineId } : null
  }
  if (running === undefined) return { kind: 'fail-machine', machineId, reason: 'The machine is gone from the substrate.' }
  if (!running) return { kind: 'fail-machine', machineId, reason: 'The machine ended by itself.' }
  if (lastHeartbeatAtMs === null || nowMs - lastHeartbeatAtMs > SILENCE_MS)
    return { kind: 'fail-machine', machineId, reason: `The agent was not heard from for ${SILENCE_MS / 1000} s.` }
  return null
}
