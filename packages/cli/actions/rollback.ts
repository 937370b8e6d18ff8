/** Takes a machine back to one of its checkpoints, and says what that does not undo. */
import { AutovibeError, type CheckpointId, isId, type Json, type Operation, RollbackEffects } from '@autovibe/contract'
import type { Action } from '../commands/define.ts'
import type { RollbackOptions } from '../commands/rollback.ts'
import { quote } from '../git/repository.ts'
import { effectLines } from '../render/rollback-effects.ts'
import { destroyed, resolveMachine } from '../resolve.ts'
import { canBeId, wholeId } from '../short-ids.ts'
import { checkpointRef } from './checkpoint.ts'
import { awaitOperation } from './operation.ts'

export const rollback: Action<RollbackOptions> = async (context, [ref = '', to = ''], { dryRun = false }) => {
  if (canBeId('checkpoint', ref) && !canBeId('checkpoint', to))
    throw new AutovibeError('request.invalid', 'The machine comes first, then the checkpoint that it goes back to.', {
      fix: `autovibe rollback ${quote(to)} ${quote(ref)}`,
    })
  const wanted = checkpointRef(to)
  const client = await context.connect()
  const { out, signal } = context
  const checkpoint = (await wholeId(client, wanted, { signal })) as CheckpointId
  // A machine that is gone cannot go back; another one can begin there.
  const instead = `autovibe fork ${checkpoint}`
  const machine = await resolveMachine(client, ref, { signal }, instead)
  if (machine.destroyed_at !== null) throw destroyed(machine, 'conflict.state', instead)
  const { id, name } = machine
  const foreseen = await client.machines.rollbackEffects(id, checkpoint, { signal })
  const warning = effectLines(foreseen, Date.now())
  if (dryRun) {
    out.answer({ machine, checkpoint_id: checkpoint, effects: foreseen, dry_run: true }, [`${name} would go back to ${checkpoint}.`, ...warning])
    out.next([`autovibe rollback ${name} ${checkpoint}`])
    return 0
  }
  // Before it acts: there is time for Ctrl-C, and what it had is kept in any case.
  out.lines(warning)
  const { operation_id } = await client.machines.rollback(id, { checkpoint }, { signal })
  const operation = await awaitOperation(context, client, operation_id, `taking ${name} back`)
  const saved = savedBy(operation)
  const effects = effectsOf(operation) ?? foreseen
  const isMore = figures(effects) !== figures(foreseen)
  const untold = untoldBy(operation)
  out.answer(
    {
      machine: await client.machines.get(id, { signal }),
      checkpoint_id: checkpoint,
      saved_as: saved,
      effects,
      ...(untold === null ? {} : { effects_error: untold }),
      operation_id,
    },
    [
      `${out.paint.green('✓')} ${name} is back at ${checkpoint}.`,
      ...(saved === null ? [] : [`  What it had until now is kept as ${saved}.`]),
      ...(isMore ? ['By then it had come to this:', ...effectLines(effects, Date.now())] : []),
      ...(untold === null ? [] : [`  What it had come to by then could not be told: ${untold.message}`]),
    ],
  )
  out.next([
    `autovibe run "PROMPT" --machine ${name} --budget 1.00`,
    `autovibe diff ${checkpoint}`,
    ...(saved === null ? [] : [`autovibe rollback ${name} ${saved}`]),
  ])
  return 0
}

/** The checkpoint of what the machine had before, as the operation tells; null from a Hub that does not tell. */
function savedBy({ input }: Operation): CheckpointId | null {
  const saved = fieldOf(input, 'saved')
  return typeof saved === 'string' && isId('checkpoint', saved) ? saved : null
}

/** As it was when all had stopped. */
function effectsOf({ output }: Operation): RollbackEffects | undefined {
  return RollbackEffects.safeParse(fieldOf(output, 'effects')).data
}

/** Why the Hub could not tell it once more. */
function untoldBy({ output }: Operation): { code: string; message: string } | null {
  const error = fieldOf(output, 'effects_error')
  const [code, message] = [fieldOf(error, 'code'), fieldOf(error, 'message')]
  return typeof code === 'string' && typeof message === 'string' ? { code, message } : null
}

const fieldOf = (value: Json | undefined, name: string): Json | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && Object.hasOwn(value, name) ? value[name] : undefined

const figures = ({ model_calls, egress, commands }: RollbackEffects): string =>
  [model_calls.total, model_calls.cost, egress.connections, egress.bytes, commands.total].join(' ')
