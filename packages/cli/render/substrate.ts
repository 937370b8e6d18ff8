/** Substrates for people. */
import type { ProxmoxConfig, ProxmoxNetwork, Substrate } from '@autovibe/contract'
import type { Paint } from '../output.ts'
import { fields } from './resources.ts'
import { plural, table } from './text.ts'

export function renderSubstrates(substrates: readonly Substrate[], paint: Paint): string[] {
  const [head = '', ...lines] = table(
    ['SUBSTRATE', 'KIND', 'IN USE', 'MACHINES', 'STORAGE', 'WHERE'],
    substrates.map((substrate) => [
      substrate.name,
      substrate.kind,
      useOf(substrate),
      String(substrate.machines),
      substrate.proxmox?.storage ?? '-',
      substrate.proxmox?.doors.map(({ url }) => url).join(' ') ?? 'this host',
    ]),
  )
  return [paint.bold(head), ...lines]
}

function useOf({ in_use, serves }: Substrate): string {
  if (in_use === serves) return in_use ? 'yes' : 'no'
  return in_use ? 'from the next start' : 'until the next start'
}

export function renderSubstrate(substrate: Substrate): string[] {
  return fields([
    ['substrate', substrate.name],
    ['kind', substrate.kind],
    ['in use', useOf(substrate)],
    ['machines', String(substrate.machines)],
    ...(substrate.proxmox === null ? [] : settingsOf(substrate.proxmox)),
  ])
}

function settingsOf(config: ProxmoxConfig): [string, string][] {
  const { gate, vmids } = config
  return [
    ...config.doors.map(({ url, fingerprint }): [string, string] => [
      'door',
      `${url} (${fingerprint ?? (config.ca === null ? 'a public authority' : 'the given authority')})`,
    ]),
    ['token', config.token_id],
    ['nodes', config.nodes?.join(', ') ?? 'all'],
    ['storage', config.storage],
    ['bridge', config.bridge],
    ['templates', config.templates.map(({ vmid, node }) => (node === null ? String(vmid) : `${vmid}@${node}`)).join(', ')],
    ['numbers', `${vmids.from} to ${vmids.to}`],
    ['pool', config.pool],
    ['gate', `${gate.advertised}, listened for at ${gate.listen}`],
    ['network', networkOf(config.network)],
    [
      'machine',
      `${plural(config.cores, 'core')}, ${config.memory_mib} MiB, at most ${plural(config.snapshots_most, 'snapshot')} ${config.include_ram ? 'with' : 'without'} memory`,
    ],
    ['archives', config.archive === null ? 'none are taken' : `on ${config.archive}, the newest ${config.archives_kept} of a machine`],
    ['placing', config.spread_projects ? 'machines of a project keep to different nodes' : 'wherever there is most room'],
  ]
}

function networkOf(network: ProxmoxNetwork): string {
  if (network.kind === 'dhcp') return 'addresses by DHCP'
  const { subnet, first, gateway, nameserver } = network
  return `${subnet} from ${first} on, ${gateway === null ? 'no way out' : `by ${gateway}`}${nameserver === null ? '' : `, names by ${nameserver}`}`
}
