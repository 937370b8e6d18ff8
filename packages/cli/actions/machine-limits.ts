/** Shows a machine, and shows or sets what machines may take: one of them, or the new ones of a project. */
import { AutovibeError } from '@autovibe/contract'
import type { Action } from '../commands/define.ts'
import type { LimitOptions } from '../commands/limit-options.ts'
import type { ProjectLimitsOptions } from '../commands/project.ts'
import { describeLimits, limitsInWords, readLimits } from '../limits.ts'
import { commandOf, renderProposal } from '../render/limits-proposal.ts'
import { renderMachine } from '../render/machine.ts'
import { resolveMachine } from '../resolve.ts'
import { findProject } from './project.ts'

export const machineShow: Action<unknown> = async (context, [ref = '']) => {
  const client = await context.connect()
  const { signal } = context
  const machine = await resolveMachine(client, ref, { signal })
  const run = machine.run_id === null ? null : await client.runs.get(machine.run_id, { signal })
  context.out.answer({ machine, run }, renderMachine(machine, run, Date.now()))
  return 0
}

export const machineLimits: Action<LimitOptions> = async (context, [ref = ''], options) => {
  const change = readLimits(options)
  const client = await context.connect()
  const { out, signal } = context
  const before = await resolveMachine(client, ref, { signal })
  const isChange = Object.keys(change).length > 0
  const machine = isChange ? await client.machines.limit(before.id, change, { signal }) : before
  out.answer({ machine }, [`${isChange ? `${out.paint.green('✓')} ` : ''}${machine.name} may take ${describeLimits(machine.limits)}.`])
  if (!isChange) return 0
  const isAtRest = machine.state === 'failed' || machine.state === 'stopped'
  if (!isAtRest && (change.cores ?? change.memory_bytes ?? change.processes) !== undefined) out.note('Cores, memory and processes hold from its next start on.')
  out.next([isAtRest ? `autovibe machine start ${machine.name}` : `autovibe machine show ${machine.name}`])
  return 0
}

export const projectLimits: Action<ProjectLimitsOptions> = async (context, [ref = ''], options) => {
  const change = readLimits(options)
  const isChange = Object.keys(change).length > 0
  if (isChange && options.none === true)
    throw new AutovibeError('request.invalid', '--none takes all limits of the project away, so no others can be set with it.', {
      fix: 'autovibe project limits --help',
    })
  if (options.propose === true && (isChange || options.none === true))
    throw new AutovibeError('request.invalid', '--propose changes nothing, so no limits can be set with it.', { fix: 'autovibe project limits --help' })
  const client = await context.connect()
  const { out, signal } = context
  const { id, name } = await findProject(client, ref, { signal })
  if (options.propose === true) {
    const proposed = await client.projects.proposeLimits(id, { signal })
    out.answer(proposed, renderProposal(name, proposed, out.paint))
    const apply = commandOf(name, proposed)
    if (apply !== null) out.next([apply])
    return 0
  }
  const { limits } = await client.projects.settings(id, { signal })
  const settings =
    isChange || options.none === true
      ? await client.projects.limit(id, options.none === true ? {} : { ...limits, ...change }, { signal })
      : await client.projects.settings(id, { signal })
  const { default_limits } = await client.hub.info({ signal })
  const own = limitsInWords(settings.limits)
  out.answer({ settings, default_limits }, [
    `${isChange || options.none === true ? `${out.paint.green('✓')} ` : ''}project ${name}: a new machine may take ${limitsInWords({ ...default_limits, ...settings.limits }).join(', ')}${own.length === 0 ? ', all as the host allows' : ''}.`,
  ])
  return 0
}
