/** Shows, probes, chooses and removes what machines are made on. */
import { AutovibeError, EXIT, type Substrate } from '@autovibe/contract'
import type { Action } from '../commands/define.ts'
import type { GrantsOptions } from '../commands/substrate-template.ts'
import type { Context } from '../context.ts'
import { renderFindings } from '../render/resources.ts'
import { renderSubstrate, renderSubstrates } from '../render/substrate.ts'
import { tellTemplateGrants } from './substrate-template.ts'

export const substrateList: Action<unknown> = async ({ connect, out, signal }) => {
  const client = await connect()
  const substrates = await client.substrates.list({ signal }).take(1000)
  out.answer({ substrates }, renderSubstrates(substrates, out.paint))
  return 0
}

export const substrateShow: Action<unknown> = async ({ connect, out, signal }, [name = '']) => {
  const substrate = await (await connect()).substrates.get(name, { signal })
  out.answer({ substrate }, [...renderSubstrate(substrate), ...renderFindings(substrate.findings, out.paint)])
  return 0
}

export const substrateProbe: Action<unknown> = async (context, [name = '']) => probeAndTell(context, name, {})

/** Probes, and tells the findings beside what else is told; the exit code is that of the worst. */
export async function probeAndTell({ connect, out, signal }: Pick<Context, 'connect' | 'out' | 'signal'>, name: string, beside: object): Promise<number> {
  const client = await connect()
  out.live(`looking at ${name}`)
  const probe = await client.substrates.probe(name, { signal })
  out.endLive()
  const failed = probe.findings.filter(({ status }) => status === 'failed').length
  const verdict =
    failed > 0
      ? out.paint.red('Something must be mended first.')
      : probe.status === 'warning'
        ? 'It works, with the limits above.'
        : out.paint.green('All is well.')
  out.answer({ ...beside, probe }, [...renderFindings(probe.findings, out.paint), verdict])
  if (failed > 0) out.next([`autovibe substrate probe ${name}`])
  return failed > 0 ? EXIT.failed : EXIT.ok
}

export const substrateGrants: Action<GrantsOptions> = async (context, [name = ''], options) => {
  const { connect, out, signal } = context
  if (options.for === 'template') return tellTemplateGrants(context, name, options)
  if (options.for !== undefined && options.for !== 'hub')
    throw new AutovibeError('request.invalid', `There are no lines for ${JSON.stringify(options.for)}.`, {
      fix: '--for template, or without it those for the Hub',
    })
  const client = await connect()
  const { proxmox } = await client.substrates.get(name, { signal })
  if (proxmox === null) throw new AutovibeError('conflict.state', 'This host needs no token.', { fix: 'autovibe substrate list' })
  const [user = '', token = ''] = proxmox.token_id.split('!')
  const asked = {
    user,
    token,
    pool: proxmox.pool,
    storages: [proxmox.storage],
    bridges: [proxmox.bridge],
    archive: proxmox.archive,
    templates: proxmox.templates.map(({ vmid }) => vmid),
  }
  const grants = await client.substrates.grants(asked, { signal })
  out.answer(grants, grants.lines)
  return 0
}

export const substrateUse: Action<unknown> = async ({ connect, out, signal }, [name = '']) => {
  const substrate = await (await connect()).substrates.use(name, { signal })
  const isNow = substrate.takes_effect === 'now'
  out.answer({ substrate }, [`${out.paint.green('✓')} Machines are made on ${name}${isNow ? '.' : ' from the next start of the Hub on.'}`])
  if (!isNow) out.next(['autovibe down', 'autovibe up'])
  return 0
}

export const substrateRemove: Action<unknown> = async ({ connect, out, signal }, [name = '']) => {
  const substrate = await (await connect()).substrates.remove(name, { signal })
  out.answer({ substrate }, [`${out.paint.green('✓')} ${name} was forgotten, with its token. ${whatIsLeft(substrate)}`])
  return 0
}

const whatIsLeft = ({ proxmox }: Substrate): string =>
  proxmox === null ? '' : `On the cluster its token is still good: pveum user token remove ${proxmox.token_id.replace('!', ' ')}`
