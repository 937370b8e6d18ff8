/** Lets checkpoints go that no rule keeps: decided again under their locks, then nothing of them is left on the substrate, and no name in the store. */
import { CheckpointId, ProjectId, RetentionRules } from '@autovibe/contract'
import { decideRetention } from '@autovibe/core/checkpoints/retention/decide.ts'
import { z } from 'zod'
import type { Tx } from '../database/database.ts'
import { recordEvent } from '../database/events.ts'
import type { StepContext } from './engine/define.ts'
import { operation, type Ports } from './ports.ts'
import { readRetentionFacts } from './requests/retention-facts.ts'
import { changeCheckpoint } from './steps/checkpoint-state.ts'
import { done } from './steps/machine-life.ts'

/** As many as one operation takes. */
export const EXPIRED_AT_ONCE_MAX = 200
/** A store far away answers a few times a second. */
const DROP_TIMEOUT_MS = 10 * 60_000

const ExpireCheckpoints = z.object({
  projectId: ProjectId,
  checkpointIds: z.array(CheckpointId).min(1).max(EXPIRED_AT_ONCE_MAX),
  rules: RetentionRules,
})
type ExpireCheckpoints = z.output<typeof ExpireCheckpoints>
type Context<O = unknown> = StepContext<Ports, ExpireCheckpoints, O>
type Decided = { decide: { expired: string[] } }

/** What is expired is let go of, also when the rest is undone: there is no way back. */
export const expireCheckpoints = operation('expire-checkpoints', ExpireCheckpoints, { exclusive: false, cancellable: false, long: true })
  .tx('decide', { do: expireUnneeded, undo: noteDropped })
  .ensure('drop', { timeoutMs: DROP_TIMEOUT_MS, do: done(allDropped), undo: allDropped })
  .tx('dropped', { do: finish })

/**
 * Each is locked against whoever begins to use it, who then finds it expired; one that somebody holds at this moment stays. Only what is locked here is decided: every other
 * counts as staying, so that of two operations at once neither lets go what the other's need.
 */
async function expireUnneeded({ input, ports, now }: Context, tx: Tx): Promise<{ expired: string[] }> {
  const { projectId, checkpointIds, rules } = input
  const locked = await tx
    .selectFrom('checkpoints')
    .select(['id', 'state'])
    .where('project_id', '=', projectId)
    .where('id', 'in', checkpointIds)
    .orderBy('id')
    .forUpdate()
    .skipLocked()
    .execute()
  const mine = new Set(locked.map(({ id }) => id))
  // Only now, so that it shows what was begun before the locks.
  const facts = (await readRetentionFacts(tx, projectId)).map((fact) => (mine.has(fact.id) ? fact : { ...fact, usedBy: fact.usedBy ?? 'another look' }))
  // What is expired already is let go of once more: its end may have been cut off.
  const expired: string[] = locked.flatMap(({ id, state }) => (state === 'expired' ? [id] : []))
  for (const { fact, verdict, reasons } of decideRetention(facts, rules, now.getTime())) {
    if (verdict === 'keep') continue
    const reason = reasons.join('; ')
    const { project_id, machine_id, run_id, trigger, label } = await changeCheckpoint(tx, ports.runtime, fact.id, 'expired', { state_reason: reason })
    await recordEvent(tx, ports.runtime, {
      type: 'checkpoint.expired',
      project_id,
      machine_id,
      run_id,
      checkpoint_id: fact.id,
      data: { reason, trigger, label, was: fact.state },
    })
    expired.push(fact.id)
  }
  return { expired }
}

async function allDropped({ input, ports, outputs, signal }: Context<Partial<Decided>>): Promise<void> {
  const store = ports.store.of(input.projectId)
  for (const { id, snapshot } of await rowsOf(ports.db, outputs)) {
    signal.throwIfAborted()
    await store.forget(id)
    // The handle of a snapshot that nobody answered for is the checkpoint's id.
    await ports.substrate.dropSnapshot(snapshot ?? id, signal)
  }
}

async function noteDropped({ outputs }: Context<Partial<Decided>>, tx: Tx): Promise<void> {
  const ids = (await rowsOf(tx, outputs)).map(({ id }) => id)
  if (ids.length > 0) await tx.updateTable('checkpoints').set({ snapshot: null }).where('id', 'in', ids).execute()
}

async function finish(context: Context<Decided>, tx: Tx): Promise<null> {
  await noteDropped(context, tx)
  return null
}

async function rowsOf(db: Ports['db'], { decide }: Partial<Decided>) {
  const ids = z.array(CheckpointId).parse(decide?.expired ?? [])
  return ids.length === 0 ? [] : db.selectFrom('checkpoints').select(['id', 'snapshot']).where('id', 'in', ids).where('state', '=', 'expired').execute()
}
