/** The steps of a run as its machine tells of them: each has a row from its first word on, so that one under way can be seen. */
import { AutovibeError, type MachineEvent, StepFinished } from '@autovibe/contract'
import type { z } from 'zod'
import type { Tx } from '../database/database.ts'

/**
 * Stores what an event says of a step; answers the number of a step that is interrupted as soon as it is told. `isAtWork` is false when the run rests: word of a step
 * that begins comes late then, and nobody will end it.
 */
export async function storeStep(tx: Tx, event: z.output<typeof MachineEvent>, at: Date, isAtWork: boolean): Promise<number | null> {
  if (event.type === 'step.started') return begin(tx, event, at, isAtWork)
  if (event.type === 'step.finished') await finish(tx, event, at)
  return null
}

async function begin(tx: Tx, { run_id, data }: z.output<typeof MachineEvent>, at: Date, isAtWork: boolean): Promise<number | null> {
  const index = StepFinished.shape.index.safeParse(data['index'])
  if (!index.success) throw new AutovibeError('request.invalid', 'step.started is not of its form.', { internal: index.error.message })
  const begun = { run_id, index: index.data, model: '', message_id: null, text: '', tools: '[]', started_at: at }
  if (isAtWork) {
    // An agent that goes on after a pause or its own death takes up the step in which it was.
    await tx
      .insertInto('steps')
      .values({ ...begun, ended_at: null, outcome: null })
      .onConflict((oc) => oc.columns(['run_id', 'index']).doUpdateSet({ ended_at: null, outcome: null }).where('steps.outcome', '=', 'interrupted'))
      .execute()
    return null
  }
  const added = await tx
    .insertInto('steps')
    .values({ ...begun, ended_at: at, outcome: 'interrupted' })
    .onConflict((oc) => oc.doNothing())
    .returning('index')
    .executeTakeFirst()
  return added?.index ?? null
}

/** What the agent finished counts, also when the Hub had called it interrupted. */
async function finish(tx: Tx, { run_id, data }: z.output<typeof MachineEvent>, at: Date): Promise<void> {
  const step = StepFinished.safeParse(data)
  if (!step.success) throw new AutovibeError('request.invalid', 'step.finished is not of its form.', { internal: step.error.message })
  const { index, model, message_id, text, tools } = step.data
  const values = { model, message_id, text, tools: JSON.stringify(tools), ended_at: at, outcome: 'finished' as const }
  await tx
    .insertInto('steps')
    .values({ run_id, index, started_at: at, ...values })
    .onConflict((oc) => oc.columns(['run_id', 'index']).doUpdateSet(values))
    .execute()
}
