/** What the demo plays: a run to its green test, a rollback and a fork, each proved by what is there afterwards. */
import { AutovibeError, type Checkpoint, type Run } from '@autovibe/contract'
import type { Autovibe } from '@autovibe/sdk'
import type { Context } from '../context.ts'
import { walkDiff } from '../diffs.ts'
import type { Seen } from '../follow/moments.ts'
import { openRepository } from '../git/repository.ts'
import { importCheckout } from '../importing.ts'
import type { DemoThings } from '../local/demo-things.ts'
import { renderFile, renderTotals } from '../render/diff.ts'
import { renderMoment } from '../render/moment.ts'
import { sharesOf } from '../render/money.ts'
import { usd } from '../render/text.ts'
import { show } from './following.ts'
import { awaitOperation } from './operation.ts'

const PROMPT = 'Make the failing test pass'
const CHECK = 'npm test'
const BUDGET_NANO_USD = '1000000000'

export interface Played {
  readonly run: Run
  readonly fork: Restored
  /** The closing document without its durations and what the host is. */
  readonly record: Readonly<Record<string, unknown>>
}

/** Plays it on things that somebody else takes away; `onPart` is told when a part has ended. */
export async function play(context: Context, client: Autovibe, things: DemoThings, onPart: (name: string) => void): Promise<Played> {
  const { out, signal } = context
  const { paint } = out
  const repository = await things.makeRepository()
  await things.makeProvider()
  const imported = await importCheckout(client, await openRepository(repository.path), {
    name: 'demo',
    includeDirty: false,
    signal,
    onProgress: (text) => out.live(text),
  })
  onPart('import')
  out.lines([
    `${paint.green('✓')} A git repository with a failing test, imported at ${imported.commit.slice(0, 12)}`,
    `  ${paint.dim(repository.path)}`,
    '',
    `${paint.bold('Prompt')}  ${PROMPT}   ${paint.dim(`budget ${usd(BUDGET_NANO_USD)}, check: ${CHECK}`)}`,
  ])
  signal.throwIfAborted()
  // Without the signal: an answer that nobody waits for would leave a machine that nobody takes away.
  const created = await client.runs.create({
    project: imported.project.id,
    prompt: PROMPT,
    agent: 'builtin',
    provider: things.provider,
    check: CHECK,
    budget: BUDGET_NANO_USD,
  })
  things.addMachine(created.run.machine_id, created.run.machine_name)
  const seen = await show(context, client, { runId: created.run.id, operationId: created.operation_id }, (moment) => {
    if (moment.type === 'run_state' && moment.state === 'running') onPart('spawn')
    out.lines(renderMoment(moment, paint))
  })
  signal.throwIfAborted()
  if (!seen) throw new AutovibeError('internal', 'The run was lost from sight.')
  onPart('run')
  const { run } = seen
  requireGreen(run)

  const verified = seen.checkpoints.filter(({ state }) => state === 'verified').sort((a, b) => (a.id < b.id ? -1 : 1))
  const first = verified[0]
  const last = verified.at(-1)
  if (!first || !last || first.id === last.id)
    throw new AutovibeError('checkpoint.not_verified', 'The run has fewer than two verified checkpoints.', { fix: `autovibe checkpoint list ${run.id}` })
  const change: string[] = []
  const made = await client.checkpoints.diff(last.id, { detail: 'text' }, { signal })
  const { files, added_lines, removed_lines } = await walkDiff(made, (file) => void change.push(...renderFile(file, paint)))
  const sum = { files, added_lines, removed_lines }
  const shares = sharesOf(run)
  out.lines([
    '',
    paint.bold('The change'),
    ...change,
    '',
    `${renderTotals(sum, paint)}; tests green; ${shares.spent} spent (simulated), ${shares.left} of ${shares.limit} left.`,
    '',
  ])

  const rollback = await rollBack(context, client, run, first)
  onPart('rollback')
  out.lines([
    `${paint.green('✓')} Rolled ${run.machine_name} back to ${first.id}: ${rollback.identical ? 'its files are exactly what they were' : paint.red(`${rollback.differing_files} files differ`)}.`,
  ])
  const fork = await forkFrom(context, client, last, things)
  onPart('fork')
  out.lines([
    `${paint.green('✓')} Forked ${fork.machine} from ${last.id}: the change is there again, in a second machine${fork.identical ? '' : paint.red(`, but ${fork.differing_files} files differ`)}.`,
  ])
  return {
    run,
    fork,
    record: {
      simulated: true,
      model: run.model,
      machine: run.machine_name,
      run_id: run.id,
      steps: seen.steps,
      costs: costsOf(run, seen),
      checkpoints: seen.checkpoints,
      check: run.check_result,
      diff: sum,
      rollback,
      fork,
    },
  }
}

function requireGreen(run: Run): void {
  const check = run.check_result
  if (run.state === 'succeeded' && check?.exit_code === 0) return
  const why =
    run.state !== 'succeeded'
      ? `the run ended as ${run.state}${run.state_reason === null ? '' : ` (${run.state_reason})`}`
      : check
        ? `${check.command} failed: ${check.output.trim().slice(-400)}`
        : 'the check did not run'
  throw new AutovibeError('agent.crashed', `The demo did not get to its green test: ${why}`, { fix: `autovibe logs ${run.id}; autovibe doctor` })
}

interface Restored {
  readonly checkpoint_id: string
  readonly machine: string
  /** Proved by a new checkpoint of what is there now, compared with the one that was gone back to. */
  readonly identical: boolean
  readonly differing_files: number
}

async function rollBack(context: Context, client: Autovibe, run: Run, to: Checkpoint): Promise<Restored> {
  const { signal } = context
  const { operation_id } = await client.machines.rollback(run.machine_id, { checkpoint: to.id }, { signal })
  await awaitOperation(context, client, operation_id, `taking ${run.machine_name} back to ${to.id}`)
  return compare(context, client, run.machine_id, run.machine_name, to)
}

async function forkFrom(context: Context, client: Autovibe, from: Checkpoint, things: DemoThings): Promise<Restored> {
  context.signal.throwIfAborted()
  const forked = await client.checkpoints.fork(from.id, {})
  things.addMachine(forked.machine_id, forked.machine_name)
  await awaitOperation(context, client, forked.operation_id, `forking ${from.id}`)
  return compare(context, client, forked.machine_id, forked.machine_name, from)
}

async function compare(context: Context, client: Autovibe, machineId: string, machine: string, to: Checkpoint): Promise<Restored> {
  const { out, signal } = context
  out.live(`comparing the files of ${machine}`)
  const { checkpoint } = await client.machines.checkpoint(machineId, { label: 'demo: compared' }, { signal })
  const now = await client.checkpoints.wait(checkpoint.id, 'verified', { signal })
  if (now.state !== 'verified')
    throw new AutovibeError(
      'checkpoint.not_verified',
      `The checkpoint ${now.id} became ${now.state}${now.state_reason === null ? '' : `: ${now.state_reason}`}`,
      { fix: `autovibe checkpoint show ${now.id}` },
    )
  const totals = await walkDiff(await client.checkpoints.diff(now.id, { against: to.id, detail: 'names', renames: false }, { signal }), () => undefined)
  const differing = totals.files + totals.ignored
  out.endLive()
  return { checkpoint_id: to.id, machine, identical: differing === 0, differing_files: differing }
}

const costsOf = (run: Run, seen: Seen) => ({
  spent: run.spent,
  limit: run.limit,
  left: (BigInt(run.limit) - BigInt(run.spent)).toString(),
  simulated: true,
  by_step: seen.steps.map(({ index, cost }) => ({ index, cost })),
})
