/** Shows and changes when checkpoints of a project are taken by themselves. */
import { AutovibeError, PutProjectTriggers, type TriggerSettings } from '@autovibe/contract'
import type { Action } from '../commands/define.ts'
import type { ProjectTriggersOptions } from '../commands/project.ts'
import { readSeconds } from '../limits.ts'
import { triggerLines } from '../render/triggers.ts'
import { findProject } from './project.ts'

const HELP = 'autovibe project triggers --help'

export const projectTriggers: Action<ProjectTriggersOptions> = async ({ connect, out, signal }, [ref = ''], options) => {
  const { risky = [], notRisky = [], default: isDefault = false } = options
  const change = readChange(options)
  const isChange = Object.keys(change).length + risky.length + notRisky.length > 0
  if (isDefault && isChange)
    throw new AutovibeError('request.invalid', 'With --default nothing else can be meant.', { fix: `autovibe project triggers ${ref} --default` })
  const client = await connect()
  const { id, name } = await findProject(client, ref, { signal })
  const before = await client.projects.settings(id, { signal })
  const wanted = isDefault ? {} : { ...before.triggers, ...change, risky_patterns: patterns(before.triggers, risky, notRisky, name) }
  const settings = isDefault || isChange ? await client.projects.putTriggers(id, wanted, { signal }) : before
  out.answer({ settings }, [
    `${isDefault || isChange ? `${out.paint.green('✓')} ` : ''}project ${name}: checkpoints are taken by themselves`,
    ...triggerLines(settings.triggers).map((line) => `  ${line}`),
  ])
  return 0
}

/** What was given, as the wire wants it; `request.invalid` names the option that cannot be meant. */
function readChange(options: ProjectTriggersOptions): PutProjectTriggers {
  const { afterResponse, beforeRisky, every, everyBudget, atEnd, floor } = options
  const given = {
    ...(afterResponse === undefined ? {} : { after_response: afterResponse }),
    ...(beforeRisky === undefined ? {} : { before_risky: beforeRisky }),
    ...(every === undefined ? {} : { every_minutes: readSeconds(every, '--every', '10m') / 60 }),
    ...(everyBudget === undefined ? {} : { every_budget_percent: /^[0-9]{1,9}$/.test(everyBudget) ? Number(everyBudget) : Number.NaN }),
    ...(atEnd === undefined ? {} : { at_end: atEnd }),
    ...(floor === undefined ? {} : { floor_seconds: readSeconds(floor, '--floor', '30s') }),
  }
  const read = PutProjectTriggers.safeParse(given)
  if (read.success) return read.data
  throw new AutovibeError('request.invalid', TAKES[String(read.error.issues[0]?.path[0])] ?? 'This cannot be set.', { fix: HELP })
}

const TAKES: Readonly<Record<string, string>> = {
  after_response: '--after-response takes always, when-files-changed or never.',
  every_minutes: '--every takes whole minutes, at most a day; 0 is never.',
  every_budget_percent: '--every-budget takes 0, or a whole number from 5 to 50.',
  floor_seconds: '--floor takes whole seconds, at most an hour; 0 is none.',
}

function patterns({ risky_patterns }: TriggerSettings, added: readonly string[], removed: readonly string[], name: string): string[] {
  const gone = new Set(removed)
  const left = risky_patterns.filter((pattern) => !gone.delete(pattern))
  const [missing] = gone
  if (missing !== undefined)
    throw new AutovibeError('not_found', `${JSON.stringify(missing)} is not on the list.`, { fix: `See what is: autovibe project triggers ${name}` })
  return [...new Set([...left, ...added])]
}
