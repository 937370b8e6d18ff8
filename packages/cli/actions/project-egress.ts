/** Shows and changes what the machines of a project may reach beyond their Hub. */
import { AutovibeError, type EgressRule } from '@autovibe/contract'
import type { Action } from '../commands/define.ts'
import type { ProjectEgressOptions } from '../commands/project.ts'
import { inOptions, readDestinations } from '../egress.ts'
import { egressOf } from '../render/project.ts'
import { findProject } from './project.ts'

export const projectEgress: Action<ProjectEgressOptions> = async ({ connect, out, signal }, [ref = ''], given) => {
  const { allow = [], allowPrivate = [], remove = [], none = false } = given
  const isChange = allow.length + allowPrivate.length + remove.length > 0
  if (none && isChange) throw new AutovibeError('request.invalid', 'With --none nothing else can be meant.', { fix: `autovibe project egress ${ref} --none` })
  const added = readDestinations(ref, given)
  const client = await connect()
  const options = { signal }
  const { id, name } = await findProject(client, ref, options)
  const before = await client.projects.settings(id, options)
  const egress = none ? [] : [...without(before.egress, remove, name), ...added]
  const settings = none || isChange ? await client.projects.putEgress(id, egress, options).catch(inOptions(name, given, egress)) : before
  const [sentence = '', ...lines] = egressOf(settings)
  out.answer({ settings }, [`${none || isChange ? `${out.paint.green('✓')} ` : ''}project ${name}: ${sentence}`, ...lines])
  if (settings.egress.length === 0) out.next([`autovibe project egress ${name} --allow registry.npmjs.org:443`])
  return 0
}

function without(rules: readonly EgressRule[], removed: readonly string[], name: string): EgressRule[] {
  const gone = new Set(removed.map((destination) => destination.toLowerCase().replace(/\.(?=:\d+$)/, '')))
  const left = rules.filter(({ destination }) => !gone.delete(destination))
  const [missing] = gone
  if (missing === undefined) return left
  throw new AutovibeError('not_found', `${JSON.stringify(missing)} is not on the list.`, { fix: `See what is: autovibe project egress ${name}` })
}
