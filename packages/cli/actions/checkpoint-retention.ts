/** Which checkpoints stay: pins, rules, and the look before anything goes. */
import { AutovibeError, PutProjectRetention } from '@autovibe/contract'
import type { Autovibe } from '@autovibe/sdk'
import type { CheckpointRetentionOptions } from '../commands/checkpoint.ts'
import type { Action } from '../commands/define.ts'
import type { Context } from '../context.ts'
import { renderPlan } from '../render/retention.ts'
import { plural } from '../render/text.ts'
import { wholeId } from '../short-ids.ts'
import { checkpointRef } from './checkpoint.ts'
import { awaitOperation } from './operation.ts'
import { findProject } from './project.ts'

const LISTED = 1000

export const checkpointPin: Action<unknown> = (context, args) => setPinned(context, args, true)
export const checkpointUnpin: Action<unknown> = (context, args) => setPinned(context, args, false)

async function setPinned({ connect, out, signal }: Context, [ref = '']: readonly string[], pinned: boolean): Promise<number> {
  const wanted = checkpointRef(ref)
  const client = await connect()
  const id = await wholeId(client, wanted, { signal })
  const checkpoint = pinned ? await client.checkpoints.pin(id, { signal }) : await client.checkpoints.unpin(id, { signal })
  out.answer({ checkpoint }, [`${out.paint.green('✓')} ${id} ${pinned ? 'is pinned: it stays' : 'is left to the rules'}.`])
  if (!pinned) out.next([`autovibe checkpoint retention --project ${checkpoint.project_id}`])
  return 0
}

export const checkpointRetention: Action<CheckpointRetentionOptions> = async (context, _args, options) => {
  const rules = readRules(options)
  const { apply = false, save = false } = options
  if (save && Object.keys(rules).length === 0)
    throw new AutovibeError('request.invalid', '--save keeps the rules that are given, and none is.', { fix: 'autovibe checkpoint retention --help' })
  const client = await context.connect()
  const { out, signal } = context
  const { id, name } = await theProject(client, options.project, signal)
  if (save) {
    const { retention } = await client.projects.settings(id, { signal })
    await client.projects.putRetention(id, { ...retention, ...rules }, { signal })
  }
  const plan = await client.projects.retain(id, { rules, apply, limit: LISTED }, { signal })
  for (const operation of plan.operation_ids) await awaitOperation(context, client, operation, 'expiring checkpoints')
  if (!apply) {
    out.answer({ plan, applied: false, expired: 0, saved: save }, [
      ...(save ? [`${out.paint.green('✓')} Saved as the rules of project ${name}, which the Hub applies every hour.`] : []),
      ...renderPlan(plan, name, Date.now(), out.paint),
    ])
    if (plan.expire.total > 0) out.next([`autovibe checkpoint retention --project ${name}${optionsOf(options)} --apply`, 'autovibe checkpoint pin ID'])
    return 0
  }
  const left = await client.projects.retain(id, { rules, limit: LISTED }, { signal })
  const expired = Math.max(0, plan.expire.total - left.expire.total)
  out.answer({ plan, applied: true, expired, saved: save }, [
    `${out.paint.green('✓')} ${plural(expired, 'checkpoint')} expired; ${plural(left.keep.total, 'checkpoint')} of project ${name} stay.`,
    ...(save ? [`${out.paint.green('✓')} The rules are saved as those of project ${name}.`] : []),
  ])
  if (left.expire.total > 0) out.note(`${plural(left.expire.total, 'checkpoint')} came to be needed meanwhile, or are left for the next time.`)
  return 0
}

const RULES = { keepLast: 'keep_last', hourly: 'hourly', daily: 'daily', weekly: 'weekly' } as const
const RULE_NAMES = Object.keys(RULES) as (keyof typeof RULES)[]
const optionName = (name: keyof typeof RULES): string => `--${RULES[name].replace('_', '-')}`
const optionsOf = (options: CheckpointRetentionOptions): string =>
  RULE_NAMES.map((name) => (options[name] === undefined ? '' : ` ${optionName(name)} ${options[name]}`)).join('')

function readRules(options: CheckpointRetentionOptions): PutProjectRetention {
  const given = RULE_NAMES.flatMap((name) => {
    const text = options[name]
    return text === undefined ? [] : [[RULES[name], /^[0-9]{1,9}$/.test(text) ? Number(text) : Number.NaN, name] as const]
  })
  for (const [rule, number, name] of given) {
    if (PutProjectRetention.safeParse({ [rule]: number }).success) continue
    throw new AutovibeError(
      'request.invalid',
      `${optionName(name)} takes a whole number from ${rule === 'keep_last' ? 1 : 0} to 10000, not ${JSON.stringify(options[name])}.`,
      {
        fix: 'autovibe checkpoint retention --help',
      },
    )
  }
  return Object.fromEntries(given)
}

/** The one that is named, or the only one there is. */
async function theProject(client: Autovibe, ref: string | undefined, signal: AbortSignal): Promise<{ id: string; name: string }> {
  if (ref !== undefined) return findProject(client, ref, { signal })
  const [only, ...others] = await client.projects.list({ signal }).take(2)
  if (only === undefined) throw new AutovibeError('not_found', 'There is no project yet.', { fix: 'autovibe run "PROMPT" --project PATH --budget 2.00' })
  if (others.length === 0) return only
  throw new AutovibeError('request.invalid', 'There are several projects; say which one is meant.', {
    fix: `autovibe checkpoint retention --project ${only.name}`,
  })
}
