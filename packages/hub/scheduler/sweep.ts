/** Beneath the operations: compares rows with the world every few seconds, from scratch, and acts only by enqueuing operations. */
import { AutovibeError } from '@autovibe/contract'
import { type Action, afterSilence, type Look, type Plan, planReconciliation, type Suspicions } from '@autovibe/core/reconcile/plan.ts'
import type { Tx } from '../database/database.ts'
import { limitReached } from '../metering/meter.ts'
import { destroyMachine } from '../operations/destroy-machine.ts'
import type { EngineLog } from '../operations/engine/context.ts'
import { enqueue } from '../operations/engine/enqueue.ts'
import { failMachine } from '../operations/fail-machine.ts'
import type { Ports } from '../operations/ports.ts'
import { removeOrphan } from '../operations/remove-orphan.ts'
import { enqueueRestart } from '../operations/requests/restart.ts'
import { changeCheckpoint } from '../operations/steps/checkpoint-state.ts'
import { enqueueStore } from '../operations/steps/checkpoint-storing.ts'
import { tendHandBacks } from './hand-backs.ts'

const LIST_TIMEOUT_MS = 10_000
const EXPIRED_HOLDS_MAX = 1000
const ENDED_PERIODS_MAX = 1000

/** One look and what follows from it; answers what to remember for the next, and what was done. */
export async function sweep(ports: Ports, log: EngineLog, suspicions: Suspicions): Promise<{ suspicions: Suspicions; actions: readonly Action[] }> {
  const plan = await look(ports, suspicions).then(planReconciliation, (error: unknown) => blind(log, error, suspicions))
  for (const action of plan.actions) {
    log.warn({ action }, 'the sweep puts something right')
    try {
      await ports.db.transaction().execute((tx) => carryOut(ports, tx, action))
    } catch (error) {
      // Somebody has it in hand by now; the next look will tell.
      if (!(error instanceof AutovibeError && error.code === 'conflict.busy')) throw error
    }
  }
  const expired = await ports.ledger.expire(EXPIRED_HOLDS_MAX)
  if (expired > 0) log.warn({ expired }, 'reservations of dead holders were settled at their bound')
  await ports.ledger.rollOver(ENDED_PERIODS_MAX)
  await tendHandBacks(ports)
  return { suspicions: plan.suspicions, actions: plan.actions }
}

/** What could not be looked at says nothing about machines: nothing is done, and what looked wrong before waits. Money does not wait for it. */
function blind(log: EngineLog, error: unknown, suspicions: Suspicions): Plan {
  // Of a substrate that does not answer whoever asks it tells, once.
  if (!(error instanceof AutovibeError && (error.code === 'substrate.away' || error.code === 'substrate.unavailable')))
    log.error({ err: error }, 'the sweep could not look at the machines')
  return { actions: [], suspicions: afterSilence(suspicions) }
}

async function look({ db, runtime, substrate }: Ports, suspicions: Suspicions): Promise<Look> {
  // The world first: what an operation makes after this look has a row, and is found at the next.
  const observed = await substrate.list(AbortSignal.timeout(LIST_TIMEOUT_MS))
  const unfinished = await db
    .selectFrom('operations')
    .select(['machine_id', 'checkpoint_id', 'kind', 'exclusive', 'input'])
    .where('ended_at', 'is', null)
    .execute()
  const ids = observed.map(({ machineId }) => machineId)
  const rows = await db
    .selectFrom('machines')
    .select(['id', 'state', 'last_heartbeat_at', 'token_hash', 'restarts_left'])
    .where((eb) => eb.or([eb('destroyed_at', 'is', null), ...(ids.length > 0 ? [eb('id', 'in', ids)] : [])]))
    .execute()
  const stranded = await db.selectFrom('checkpoints').select(['id', 'state', 'snapshot']).where('state', 'in', ['pending', 'capturing', 'stored']).execute()
  const inHands = new Set(unfinished.flatMap((operation) => (operation.exclusive || operation.kind === destroyMachine.kind ? [operation.machine_id] : [])))
  const removing = new Set(unfinished.filter(({ kind }) => kind === removeOrphan.kind).map(({ input }) => input['machineId']))
  const workedOn = new Set(unfinished.flatMap(({ checkpoint_id, input }) => [checkpoint_id, input['saved'], input['checkpointId']]))
  return {
    machines: rows.map((row) => ({
      id: row.id,
      state: row.state,
      inHands: inHands.has(row.id),
      lastHeartbeatAtMs: row.last_heartbeat_at?.getTime() ?? null,
      isClosed: row.token_hash === null,
      restartsLeft: row.restarts_left,
    })),
    observed: observed.filter(({ machineId }) => !removing.has(machineId)).map(({ machineId, power }) => ({ id: machineId, running: power === 'running' })),
    strandedCheckpoints: stranded.filter(({ id }) => !workedOn.has(id)).map(({ id, state, snapshot }) => ({ id, state, hasSnapshot: snapshot !== null })),
    suspicions,
    nowMs: runtime.now().getTime(),
  }
}

async function carryOut({ runtime }: Ports, tx: Tx, action: Action): Promise<void> {
  if (action.kind === 'remove-orphan') {
    await enqueue(tx, runtime, removeOrphan, { machineId: action.machineId }, { projectId: null, machineId: null })
  } else if (action.kind === 'store-checkpoint') {
    await enqueueStore(tx, runtime, action.checkpointId)
  } else if (action.kind === 'start-machine') {
    await enqueueRestart(tx, runtime, action.machineId)
  } else if (action.kind === 'fail-checkpoint') {
    await changeCheckpoint(tx, runtime, action.checkpointId, 'failed', { state_reason: 'Nobody works on it any more.' })
  } else {
    const { project_id: projectId } = await tx.selectFrom('machines').select('project_id').where('id', '=', action.machineId).executeTakeFirstOrThrow()
    const subject = { projectId, machineId: action.machineId }
    // What ended by itself may have been ended for a limit, which nobody could tell it of before.
    const reason = action.kind === 'fail-machine' ? ((await limitReached(tx, action.machineId)) ?? action.reason) : ''
    if (action.kind === 'fail-machine') await enqueue(tx, runtime, failMachine, { machineId: action.machineId, reason }, subject)
    else await enqueue(tx, runtime, destroyMachine, { machineId: action.machineId }, subject)
  }
}
