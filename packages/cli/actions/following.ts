/** Shows a run as it goes on, and its end: for `run` and `attach`, in both forms. */
import { AutovibeError, type Checkpoint, EXIT, type Machine, type Run } from '@autovibe/contract'
import type { Autovibe } from '@autovibe/sdk'
import type { Context } from '../context.ts'
import { sumOf } from '../diffs.ts'
import { followRun } from '../follow/follow.ts'
import { hasEnded, type Moment, type Seen } from '../follow/moments.ts'
import { isOutOfMoney, raiseCommand } from '../follow/money-out.ts'
import { lastRefusal } from '../follow/refusal.ts'
import { quote } from '../git/repository.ts'
import { renderClosing } from '../render/closing.ts'
import { Progress } from '../render/progress.ts'
import { plain } from '../render/text.ts'
import { resultOf } from '../resolve.ts'
import { operationFailure } from './operation.ts'

export interface Following {
  readonly runId: string
  readonly operationId?: string | undefined
  /** The checkout as whoever began the run has named it; where left out, it is where they stand. */
  readonly checkout?: string | undefined
}

/** Follows to the end and says how it ended; Ctrl-C detaches, says how to come back, and answers 130. */
export async function followToEnd(context: Context, client: Autovibe, following: Following): Promise<number> {
  const { out } = context
  const progress = new Progress(out.paint)
  let isHubAway = false
  const seen = await show(context, client, following, (moment) => {
    if (moment.type === 'hub_lost' || moment.type === 'hub_back') isHubAway = moment.type === 'hub_lost'
    out.record(moment)
    out.lines(progress.tell(moment))
  })
  if (seen === undefined || context.signal.aborted) return detached(context, following.runId, seen, isHubAway)
  return close(context, client, seen, following.checkout)
}

/** Hands every moment on, with a live line in between; undefined when it was interrupted before anything was seen. */
export async function show(context: Context, client: Autovibe, following: Following, onMoment: (moment: Moment) => void): Promise<Seen | undefined> {
  const { out, signal } = context
  const moments = followRun(client, { ...following, signal })
  try {
    for (;;) {
      const next = await moments.next()
      if (next.done) return next.value
      const moment = next.value
      onMoment(moment)
      out.live(liveLine(moment))
    }
  } catch (thrown) {
    if (signal.aborted) return undefined
    throw thrown
  } finally {
    out.endLive()
  }
}

function liveLine(moment: Moment): string {
  if (moment.type === 'tool_started') return `${moment.name} ${moment.summary}`
  if (moment.type === 'hub_lost') return 'waiting for the Hub'
  return moment.type === 'operation_step' ? `${plain(moment.kind)}: ${plain(moment.name)}` : 'working'
}

interface Next {
  readonly command: string
  readonly when: string
}

function detached({ out }: Context, runId: string, seen: Seen | undefined, isHubAway: boolean): number {
  const next: Next[] = [
    ...(isHubAway ? [{ command: 'autovibe up', when: 'to let the Hub and the run go on' }] : []),
    { command: `autovibe attach ${seen?.run.machine_name ?? runId}`, when: 'to follow it again' },
  ]
  out.record({ type: 'detached', run_id: runId, next })
  out.note(isHubAway ? 'Detached; the run goes on when the Hub is back.' : 'Detached; the run goes on.')
  out.next(next.map(({ command }) => command))
  return EXIT.interrupted
}

async function close(context: Context, client: Autovibe, seen: Seen, checkout: string | undefined): Promise<number> {
  const { run, steps, operation } = seen
  const { out, signal } = context
  if (!hasEnded(run) && run.state !== 'paused' && operation && operation.state !== 'done') throw operationFailure(operation)
  const newest = resultOf(run, seen.checkpoints)
  const totals = newest ? await sumOf(await client.checkpoints.diff(newest.id, { detail: 'lines' }, { signal })) : null
  const refused = await refusalOf(client, run, signal)
  const next = [
    ...(await goOnCommands(client, run, refused, signal)),
    ...changeCommands(run, await refTo(client, run, newest, signal), totals?.files ?? 0, newest?.id, checkout),
  ]
  const fix = (isOutOfMoney(run) ? next[0]?.command : refused?.fix) ?? null
  const refusal = refused === null ? null : { code: refused.code, message: refused.message, fix }
  out.record({ type: 'result', run, steps, checkpoints: seen.checkpoints, diff: totals, refusal, next })
  out.lines(renderClosing({ run, interrupted: steps.filter(({ outcome }) => outcome === 'interrupted').length, totals }, out.paint))
  // What helps when the money is out is the first of what to do next.
  if (isOutOfMoney(run)) out.note(`  ${plain(refused?.message ?? run.state_reason ?? '')}`)
  else if (operation?.error && run.state === 'failed')
    out.note(`  ${out.paint.bold('Fix:')} ${operation.error.fix ?? `autovibe operation show ${operation.id}`}`)
  else if (refused !== null) {
    out.note(`  ${plain(refused.message)} (${refused.code})`)
    if (refused.fix !== undefined) out.note(`  ${out.paint.bold('Fix:')} ${refused.fix}`)
  }
  out.next(next.map(({ command }) => command))
  return exitOf(run, seen, refused)
}

/** The refusal by which a run has failed, or for which it waits. */
async function refusalOf(client: Autovibe, run: Run, signal: AbortSignal): Promise<AutovibeError | null> {
  if (run.state !== 'failed' && run.state !== 'paused') return null
  const newest = await lastRefusal(client, run, { signal })
  return isOutOfMoney(run) && !newest?.code.startsWith('budget.') ? null : newest
}

/** Machines that have to be started, as soon as they have come to rest. */
const AT_REST: ReadonlySet<Machine['state']> = new Set(['stopping', 'stopped', 'failed'])

/** How a run that is paused goes on. */
async function goOnCommands(client: Autovibe, run: Run, refused: AutovibeError | null, signal: AbortSignal): Promise<Next[]> {
  if (run.state !== 'paused') return []
  const follow = { command: `autovibe attach ${run.machine_name}`, when: 'to follow it then' }
  if (isOutOfMoney(run)) return [{ command: await raiseCommand(client, run, refused, { signal }), when: 'to let it go on' }, follow]
  const { state } = await client.machines.get(run.machine_id, { signal })
  const start = { command: `autovibe machine start ${run.machine_name}`, when: 'to let its machine and the run go on' }
  return AT_REST.has(state) ? [start, follow] : [follow]
}

/** What stands for the change of a run: its machine's name, unless that was destroyed, rolled back or set to work again and no longer shows it. */
async function refTo(client: Autovibe, run: Run, result: Checkpoint | undefined, signal: AbortSignal): Promise<string> {
  const { name, destroyed_at, head_checkpoint_id } = await client.machines.get(run.machine_id, { signal })
  return destroyed_at === null && result !== undefined && head_checkpoint_id === result.id ? name : run.id
}

/** What one does with what a run has changed; whoever has just run out of money wants to go on first. */
function changeCommands(run: Run, ref: string, changedFiles: number, checkpoint: string | undefined, checkout: string | undefined): Next[] {
  if (isOutOfMoney(run)) return []
  const commands =
    changedFiles > 0
      ? [
          { command: `autovibe diff ${ref}`, when: 'to read the change' },
          { command: `autovibe apply ${ref}${checkout === undefined ? '' : ` --project ${quote(checkout)}`}`, when: 'to take it over' },
        ]
      : []
  return checkpoint === undefined ? commands : [...commands, { command: `autovibe fork ${checkpoint}`, when: 'to try something else from here' }]
}

function exitOf(run: Run, seen: Seen, refused: AutovibeError | null): number {
  if (run.state === 'paused') return isOutOfMoney(run) ? EXIT.budget : EXIT.human
  if (run.state === 'cancelled') return EXIT.failed
  if (run.state === 'failed') {
    if (seen.operation?.error) return operationFailure(seen.operation).exitCode
    // A budget that runs out pauses; what the provider refuses ends the run.
    return refused?.code.startsWith('provider.') ? refused.exitCode : EXIT.failed
  }
  if (run.check_result !== null && run.check_result.exit_code !== 0) return EXIT.failed
  if (run.state === 'succeeded') return EXIT.ok
  throw new AutovibeError('operation.deadline', `The run ${run.id} stands at ${run.state} and nothing more is heard of it.`, { fix: 'autovibe operation list' })
}
