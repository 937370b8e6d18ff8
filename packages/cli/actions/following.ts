/** Shows a run as it goes on, and its end: for `run` and `attach`, in both forms. */
import { AutovibeError, type CheckpointDiff, EXIT, type Run } from '@autovibe/contract'
import type { Autovibe } from '@autovibe/sdk'
import type { Context } from '../context.ts'
import { followRun } from '../follow/follow.ts'
import { hasEnded, type Moment, type Seen } from '../follow/moments.ts'
import { lastRefusal } from '../follow/refusal.ts'
import { renderClosing } from '../render/closing.ts'
import { diffTotals } from '../render/diff.ts'
import { renderMoment } from '../render/moment.ts'
import { plain } from '../render/text.ts'
import { operationFailure } from './operation.ts'

export interface Following {
  readonly runId: string
  readonly operationId?: string | undefined
}

/** Follows to the end and says how it ended; Ctrl-C detaches, says how to come back, and answers 130. */
export async function followToEnd(context: Context, client: Autovibe, following: Following): Promise<number> {
  const { out } = context
  const seen = await show(context, client, following, (moment) => {
    out.record(moment)
    out.lines(renderMoment(moment, out.paint))
  })
  if (seen === undefined || context.signal.aborted) return detached(context, following.runId, seen)
  return close(context, client, seen)
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
  return moment.type === 'operation_step' ? `${moment.kind}` : 'working'
}

function detached(context: Context, runId: string, seen: Seen | undefined): number {
  const name = seen?.run.machine_name ?? runId
  context.out.record({ type: 'detached', run_id: runId, next: [{ command: `autovibe attach ${name}`, when: 'to follow it again' }] })
  context.out.note(`Detached; the run goes on. Come back with: autovibe attach ${name}`)
  return EXIT.interrupted
}

async function close(context: Context, client: Autovibe, seen: Seen): Promise<number> {
  const { run, operation } = seen
  const { out, signal } = context
  if (!hasEnded(run) && run.state !== 'paused' && operation && operation.state !== 'done') throw operationFailure(operation)
  const newest = [...seen.checkpoints].filter(({ state }) => state === 'verified').sort((a, b) => (a.id < b.id ? 1 : -1))[0]
  const diff: CheckpointDiff | null = newest ? await client.checkpoints.diff(newest.id, undefined, { signal }) : null
  const totals = diff ? diffTotals(diff) : null
  const next = nextCommands(run, totals?.files ?? 0, newest?.id)
  const refused = run.state === 'failed' || run.state === 'paused' ? await lastRefusal(client, run, { signal }) : null
  const refusal = refused === null ? null : { code: refused.code, message: refused.message, fix: refused.fix ?? null }
  out.record({ type: 'result', run, steps: seen.steps, checkpoints: seen.checkpoints, diff: totals, refusal, next })
  out.lines(renderClosing(run, totals, out.paint))
  if (operation?.error && run.state === 'failed') out.note(`  ${out.paint.bold('Fix:')} ${operation.error.fix ?? `autovibe operation show ${operation.id}`}`)
  else if (refused !== null) {
    out.note(`  ${plain(refused.message)} (${refused.code})`)
    if (refused.fix !== undefined) out.note(`  ${out.paint.bold('Fix:')} ${refused.fix}`)
  }
  if (next.length > 0) out.note(`Next: ${next.map(({ command }) => command).join('  |  ')}`)
  return exitOf(run, seen, refused)
}

function nextCommands(run: Run, changedFiles: number, checkpoint: string | undefined): { command: string; when: string }[] {
  const name = run.machine_name
  if (isOutOfMoney(run))
    return [
      { command: `autovibe budget set ${run.id} ${(Number(run.limit) / 1e9 + 1).toFixed(2)}`, when: 'to let it go on' },
      { command: `autovibe attach ${name}`, when: 'to follow it then' },
    ]
  const commands =
    changedFiles > 0
      ? [
          { command: `autovibe diff ${name}`, when: 'to read the change' },
          { command: `autovibe apply ${name}`, when: 'to take it over' },
        ]
      : []
  return checkpoint === undefined ? commands : [...commands, { command: `autovibe fork ${checkpoint}`, when: 'to try something else from here' }]
}

const isOutOfMoney = (run: Run): boolean => run.state === 'paused' && /budget/i.test(run.state_reason ?? '')

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
