/** Checks this host and, where one runs, the Hub with its providers. */
import { AutovibeError, EXIT, type Finding, type Health } from '@autovibe/contract'
import type { Action } from '../commands/define.ts'
import type { Context } from '../context.ts'
import { localChecks } from '../local/checks.ts'
import { providerFindings } from '../local/providers.ts'
import { renderFindings } from '../render/resources.ts'
import { isTooWeak, tierMeaning } from '../render/tiers.ts'

export const doctor: Action<unknown> = async (context) => {
  const { out } = context
  const findings = [...(await localChecks(context.dataDir, context.settings.get('port'))), ...(await hubFindings(context))]
  const failed = findings.filter(({ status }) => status === 'failed').length
  const warned = findings.filter(({ status }) => status === 'warning').length
  const verdict =
    failed > 0 ? out.paint.red('Something must be repaired first.') : warned > 0 ? 'It works, with the limits above.' : out.paint.green('All is well.')
  out.answer({ findings, ok: failed === 0 }, [...renderFindings(findings, out.paint), verdict])
  return failed > 0 ? EXIT.failed : EXIT.ok
}

async function hubFindings(context: Context): Promise<Finding[]> {
  const { signal } = context
  try {
    const client = await context.connect()
    const [info, health, providers] = await Promise.all([client.hub.info({ signal }), client.hub.health({ signal }), providerFindings(client, { signal })])
    const stuck = await client.operations.list({ state: 'stuck' }, { signal }).take(100)
    const damaged = await client.checkpoints.list({ state: 'corrupt' }, { signal }).take(1)
    return [
      { area: 'hub', name: 'process', status: 'ok', detail: `version ${info.version}, Node ${info.node}, ${info.database}`, fix: null },
      ...health.checks.map((check) => healthFinding(check, damaged.length)),
      {
        area: 'hub',
        name: 'isolation',
        status: isTooWeak(info.tier) ? 'warning' : 'ok',
        detail: tierMeaning(info.tier),
        fix: null,
      },
      ...(stuck.length > 0
        ? [{ area: 'hub', name: 'operations', status: 'failed', detail: `${stuck.length} stuck`, fix: 'autovibe operation list --state stuck' } as const]
        : []),
      ...info.findings,
      ...providers,
    ]
  } catch (thrown) {
    if (!(thrown instanceof AutovibeError)) throw thrown
    // No Hub is no fault: one is started when it is needed.
    return [{ area: 'hub', name: 'process', status: 'warning', detail: thrown.message, fix: thrown.fix ?? 'autovibe up' }]
  }
}

const FIXES: Readonly<Record<string, string>> = { archives: 'autovibe machine archives', 'archive storages': 'autovibe substrate probe' }

/** One check of the Hub. Of checkpoints also what is damaged and nothing needs is worth a look. */
function healthFinding({ name, ok, detail }: Health['checks'][number], damaged: number): Finding {
  const isOfCheckpoints = name === 'checkpoints'
  const status = !ok ? 'failed' : isOfCheckpoints && damaged > 0 ? 'warning' : 'ok'
  const fix = isOfCheckpoints ? 'autovibe checkpoint list --state corrupt' : (FIXES[name] ?? 'autovibe logs --hub')
  return { area: 'hub', name, status, detail, fix: status === 'ok' ? null : fix }
}
