/** Starts the Hub, in the background or in front. */
import { spawn } from 'node:child_process'
import type { Action } from '../commands/define.ts'
import type { UpOptions } from '../commands/up.ts'
import type { Context } from '../context.ts'
import { checkPort, DEFAULT_PORT, HUB_MAIN, makeDataDir } from '../local/hub-process.ts'
import { assertRunningHubTakes } from '../local/running-hub.ts'
import { named } from '../render/names.ts'
import { fields, renderFindings } from '../render/resources.ts'
import { duration } from '../render/text.ts'
import { copyMeaning, tierMeaning } from '../render/tiers.ts'

export const up: Action<UpOptions> = async (context, _args, options) => {
  if (options.foreground === true) return inFront(context, options)
  const { client, hub, startedMs } = await context.ensureHub(options.port)
  const info = await client.hub.info({ signal: context.signal })
  const { version, data_dir, tier } = info
  const already = startedMs === null
  const ofHub = info.findings.filter(({ area }) => area === 'hub')
  if (already && hub.pid !== null) assertRunningHubTakes({ env: context.env, port: options.port, url: hub.url, findings: ofHub })
  const { paint } = context.out
  // A Hub that ran before has told whoever started it.
  const again = already ? [] : info.started_again
  // What `doctor` says of the Hub itself, for whoever never asks it.
  const findings = ofHub.filter(({ status }) => status !== 'ok' || !already)
  const answer = { url: hub.url, pid: hub.pid, version, data_dir, tier, already, started_ms: startedMs, started_again: again, findings }
  context.out.answer(answer, [
    already ? `The Hub already runs (process ${hub.pid}).` : `${paint.green('✓')} The Hub runs (process ${hub.pid}, ready in ${duration(startedMs)}).`,
    ...fields([
      ['  API', `${hub.url}/v1`],
      ['  Data', info.data_dir],
      ['  Database', info.database],
      ['  Machines', tierMeaning(info.tier)],
      ['', copyMeaning(info.tier)],
    ]),
    ...findings.filter(({ status }) => status === 'ok').map(({ detail }) => `${paint.green('✓')} ${detail}`),
    ...renderFindings(
      findings.filter(({ status }) => status !== 'ok'),
      paint,
    ),
    ...(again.length > 0 ? [`It takes up again what the last \`autovibe down\` stopped: ${named(again, 'machine')}.`] : []),
  ])
  context.out.next(['autovibe demo', 'autovibe run "PROMPT" --project PATH --budget 2.00'])
  return 0
}

/** The Hub takes this process's place as far as a service manager can see: its output, its signals, its exit code. */
async function inFront(context: Context, options: UpOptions): Promise<number> {
  const port = checkPort(context.settings.withFlag('port', options.port).value ?? DEFAULT_PORT)
  await makeDataDir(context.dataDir)
  const child = spawn(process.execPath, [HUB_MAIN, '--data-dir', context.dataDir, '--port', port], { stdio: 'inherit' })
  const pass = () => child.kill('SIGTERM')
  // A terminal sends Ctrl-C to both of us; a service manager signals only this process.
  context.signal.addEventListener('abort', pass, { once: true })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => resolve(code ?? 1))
  })
}
