/** The whole main job on a small repository: a prompt in, a checked change out, one checkpoint rolled back, another forked. */
import { AutovibeError, type Checkpoint, type MachineId, type Run } from '@autovibe/contract'
import type { Autovibe } from '@autovibe/sdk'
import type { Action } from '../commands/define.ts'
import type { DemoOptions } from '../commands/demo.ts'
import type { Context } from '../context.ts'
import type { Seen } from '../follow/moments.ts'
import { openRepository } from '../git/repository.ts'
import { importCheckout } from '../importing.ts'
import { makeDemoRepository, startScriptedModel } from '../local/demo-stage.ts'
import { diffTotals, renderDiff, renderTotals } from '../render/diff.ts'
import { renderMoment } from '../render/moment.ts'
import { duration, usd } from '../render/text.ts'
import { copyMeaning, tierMeaning } from '../render/tiers.ts'
import { show } from './following.ts'
import { awaitOperation } from './operation.ts'

const PROVIDER = 'scripted'
const PROMPT = 'Make the failing test pass'
const CHECK = 'npm test'
const BUDGET_NANO_USD = '1000000000'

export const demo: Action<DemoOptions> = async (context, _args, options) => {
  const { out, signal } = context
  const { paint } = out
  const clock = stopwatch()
  const { client, hub, startedMs } = await context.ensureHub(options.port)
  clock.lap('hub')
  const { tier } = await client.hub.info({ signal })
  out.lines([
    paint.bold('autovibe demo'),
    'The model is scripted: no key is needed, nothing leaves this machine, and costs are simulated at list prices.',
    'The rest is real: the repository, the machine, the commands in it, the checkpoints, the ledger.',
    '',
    `${paint.green('✓')} Hub ${hub.url} ${paint.dim(startedMs === null ? 'runs already' : `started in ${duration(startedMs)}`)}`,
    `  Isolation  ${tierMeaning(tier)}`,
    `             ${copyMeaning(tier)}`,
  ])
  const repository = await makeDemoRepository()
  const model = await startScriptedModel()
  const machines: MachineId[] = []
  try {
    await client.providers.put(PROVIDER, { wire: 'anthropic', base_url: model.url, key: 'demo', default_model: 'claude-sonnet-5', simulated: true }, { signal })
    const imported = await importCheckout(client, await openRepository(repository.path), {
      name: 'demo',
      includeDirty: false,
      signal,
      onProgress: (text) => out.live(text),
    })
    clock.lap('import')
    out.lines([
      `${paint.green('✓')} A git repository with a failing test, imported at ${imported.commit.slice(0, 12)}`,
      `  ${paint.dim(repository.path)}`,
      '',
      `${paint.bold('Prompt')}  ${PROMPT}   ${paint.dim(`budget ${usd(BUDGET_NANO_USD)}, check: ${CHECK}`)}`,
    ])
    const created = await client.runs.create(
      { project: imported.project.id, prompt: PROMPT, agent: 'builtin', provider: PROVIDER, check: CHECK, budget: BUDGET_NANO_USD },
      { signal },
    )
    machines.push(created.run.machine_id)
    const seen = await show(context, client, { runId: created.run.id, operationId: created.operation_id }, (moment) => {
      if (moment.type === 'run_state' && moment.state === 'running') clock.lap('spawn')
      out.lines(renderMoment(moment, paint))
    })
    signal.throwIfAborted()
    if (!seen) throw new AutovibeError('internal', 'The run was lost from sight.')
    clock.lap('run')
    const { run } = seen
    requireGreen(run)

    const verified = seen.checkpoints.filter(({ state }) => state === 'verified').sort((a, b) => (a.id < b.id ? -1 : 1))
    const first = verified[0]
    const last = verified.at(-1)
    if (!first || !last || first.id === last.id)
      throw new AutovibeError('checkpoint.not_verified', 'The run has fewer than two verified checkpoints.', { fix: 'autovibe checkpoint list' })
    const diff = await client.checkpoints.diff(last.id, undefined, { signal })
    const left = (BigInt(run.limit) - BigInt(run.spent)).toString()
    out.lines([
      '',
      paint.bold('The change'),
      ...renderDiff(diff, paint, { raw: false }),
      '',
      `${renderTotals(diffTotals(diff), paint)}; tests green; ${usd(run.spent)} spent (simulated), ${usd(left)} of ${usd(run.limit)} left.`,
      '',
    ])

    const rollback = await rollBack(context, client, run, first)
    clock.lap('rollback')
    out.lines([
      `${paint.green('✓')} Rolled ${run.machine_name} back to ${first.id}: ${rollback.identical ? 'its files are exactly what they were' : paint.red(`${rollback.differing_files} files differ`)}.`,
    ])
    const fork = await forkFrom(context, client, last, machines)
    clock.lap('fork')
    out.lines([
      `${paint.green('✓')} Forked ${fork.machine} from ${last.id}: the change is there again, in a second machine${fork.identical ? '' : paint.red(`, but ${fork.differing_files} files differ`)}.`,
    ])
    if (options.keep !== true) {
      await destroyAll(client, machines.splice(0), signal)
      clock.lap('clean_up')
    }
    const durations = clock.done()
    out.record({
      durations_ms: durations,
      isolation: tier,
      simulated: true,
      model: run.model,
      machine: run.machine_name,
      run_id: run.id,
      steps: seen.steps,
      costs: costsOf(run, seen),
      checkpoints: seen.checkpoints,
      check: run.check_result,
      diff: diffTotals(diff),
      rollback,
      fork,
    })
    out.lines(['', paint.dim(`All of it took ${duration(durations['total'] ?? 0)}.`)])
    out.note(
      [
        'Next:',
        `  autovibe checkpoint list                 what is kept of it (autovibe diff ${last.id})`,
        '  export ANTHROPIC_API_KEY=…',
        '  autovibe run "PROMPT" --project PATH --budget 2.00 --check "npm test"',
      ].join('\n'),
    )
    return 0
  } finally {
    out.endLive()
    if (options.keep === true) out.note(`Kept: ${repository.path}`)
    else {
      // Whatever went wrong, or Ctrl-C: nothing of the demo is left running.
      await destroyAll(client, machines, AbortSignal.timeout(30_000)).catch((thrown: unknown) =>
        out.note(`! The machines of the demo could not be destroyed: ${thrown instanceof Error ? thrown.message : String(thrown)}`),
      )
      await repository.remove()
    }
    await model.stop()
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
  throw new AutovibeError('agent.crashed', `The demo did not get to its green test: ${why}`, { fix: `autovibe logs ${run.machine_name}; autovibe doctor` })
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

async function forkFrom(context: Context, client: Autovibe, from: Checkpoint, machines: MachineId[]): Promise<Restored> {
  const { signal } = context
  const forked = await client.checkpoints.fork(from.id, {}, { signal })
  machines.push(forked.machine_id)
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
  const { files } = await client.checkpoints.diff(now.id, to.id, { signal })
  out.endLive()
  return { checkpoint_id: to.id, machine, identical: files.length === 0, differing_files: files.length }
}

async function destroyAll(client: Autovibe, machines: readonly MachineId[], signal: AbortSignal): Promise<void> {
  const operations = await Promise.all(machines.map((id) => client.machines.destroy(id, { signal })))
  await Promise.all(operations.map(({ operation_id }) => client.operations.wait(operation_id, { signal })))
}

const costsOf = (run: Run, seen: Seen) => ({
  spent: run.spent,
  limit: run.limit,
  left: (BigInt(run.limit) - BigInt(run.spent)).toString(),
  simulated: true,
  by_step: seen.steps.map(({ index, cost }) => ({ index, cost })),
})

/** Milliseconds of each part, and in total. */
function stopwatch() {
  const startedAt = performance.now()
  const laps: Record<string, number> = {}
  let lastAt = startedAt
  return {
    lap(name: string) {
      const now = performance.now()
      laps[name] = Math.round((laps[name] ?? 0) + now - lastAt)
      lastAt = now
    },
    done: (): Record<string, number> => ({ ...laps, total: Math.round(performance.now() - startedAt) }),
  }
}
