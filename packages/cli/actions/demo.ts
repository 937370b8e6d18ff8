/** The whole main job on a small repository: a prompt in, a checked change out, one checkpoint rolled back, another forked; then all of it taken away again. */
import type { Action } from '../commands/define.ts'
import type { DemoOptions } from '../commands/demo.ts'
import type { Context } from '../context.ts'
import { quote } from '../git/repository.ts'
import { DemoThings } from '../local/demo-things.ts'
import { remoteHub } from '../local/hub-process.ts'
import { type DemoEnd, demoNext, renderDemoEnd, renderRemnants } from '../render/demo.ts'
import { duration } from '../render/text.ts'
import { copyMeaning, tierMeaning } from '../render/tiers.ts'
import { play } from './demo-play.ts'

export const demo: Action<DemoOptions> = async (context, _args, options) => {
  const { out, signal } = context
  const { paint } = out
  const keep = options.keep === true
  const clock = stopwatch()
  const { client, hub, startedMs } = await context.ensureHub(options.port).catch((thrown: unknown) => {
    if (signal.aborted)
      out.note(`Interrupted while the Hub was starting: it was ended again. There is nothing of the demo but the data directory ${context.dataDir}.`)
    throw thrown
  })
  clock.lap('hub')
  const things = new DemoThings(client)
  const stays = { hubUrl: hub.url, isOurHub: hub.pid !== null, suffix: suffixOf(context) }
  const onInterrupt = () => out.note('Interrupted: what the demo has made is being taken away. Ctrl-C again ends at once and leaves it to you.')
  signal.addEventListener('abort', onInterrupt, { once: true })
  try {
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
    const { run, fork, record } = await play(context, client, things, clock.lap)
    const end: DemoEnd = {
      ...stays,
      rolledBack: run.machine_name,
      forked: fork.machine,
      keptAt: keep ? (things.repository?.path ?? null) : null,
      runId: run.id,
      dataDir: context.dataDir,
    }
    const [failure] = await things.remove(keep)
    if (failure) throw failure
    if (!keep) clock.lap('clean_up')
    const durations = clock.done()
    out.record({ durations_ms: durations, isolation: tier, ...record })
    out.lines(['', ...renderDemoEnd(end, paint), '', paint.dim(`All of it took ${duration(durations['total'] ?? 0)}.`)])
    out.note(demoNext(end))
    return 0
  } catch (thrown) {
    out.endLive()
    // Whatever went wrong, or Ctrl-C: nothing of the demo is left behind in silence.
    const errors = await things.remove(keep)
    for (const error of errors) out.note(`! Not taken away: ${error.message}`)
    for (const line of renderRemnants(things.remnants(), stays)) out.note(line)
    if (signal.aborted) throw signal.reason
    throw thrown
  } finally {
    signal.removeEventListener('abort', onInterrupt)
  }
}

/** Pasted commands must reach this Hub too, wherever they are pasted. */
function suffixOf({ dataDir, env, settings }: Context): string {
  const { origin } = settings.get('data_dir')
  return remoteHub(env) === undefined && (origin === '--data-dir' || origin === 'AUTOVIBE_DATA_DIR') ? ` --data-dir ${quote(dataDir)}` : ''
}

/** Milliseconds of each part, and in total. */
function stopwatch() {
  const startedAt = performance.now()
  const laps: Record<string, number> = {}
  let lastAt = startedAt
  return {
    lap(name: string): void {
      const now = performance.now()
      laps[name] = Math.round((laps[name] ?? 0) + now - lastAt)
      lastAt = now
    },
    done: (): Record<string, number> => ({ ...laps, total: Math.round(performance.now() - startedAt) }),
  }
}
