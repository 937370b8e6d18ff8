/** What the options of `substrate add` and `set` say, as the Hub takes it; what is not said is not there. */
import { readFile } from 'node:fs/promises'
import { AutovibeError, type ProxmoxConfig, type ProxmoxNetwork, type UpdateSubstrate } from '@autovibe/contract'
import type { SubstrateOptions } from '../commands/substrate.ts'

const wrong = (message: string, fix: string): AutovibeError => new AutovibeError('request.invalid', message, { fix })

/** All but doors and secret; `before` is what there was. */
export async function changeOf(options: SubstrateOptions, before: ProxmoxConfig | null): Promise<Omit<UpdateSubstrate, 'doors' | 'token_secret'>> {
  const gate = gateOf(options, before)
  const network = networkOf(options, before?.network ?? null)
  return {
    ...(options.ca === undefined
      ? {}
      : { ca: await readFile(options.ca, 'utf8').catch((cause: Error) => Promise.reject(unreadable(options.ca ?? '', cause))) }),
    ...(options.tokenId === undefined ? {} : { token_id: options.tokenId }),
    ...(options.allNodes === true ? { nodes: null } : options.node === undefined ? {} : { nodes: [...options.node] }),
    ...(options.storage === undefined ? {} : { storage: options.storage }),
    ...(options.bridge === undefined ? {} : { bridge: options.bridge }),
    ...(options.template === undefined ? {} : { templates: options.template.map(templateOf) }),
    ...(options.vmids === undefined ? {} : { vmids: vmidsOf(options.vmids) }),
    ...(options.pool === undefined ? {} : { pool: options.pool }),
    ...(gate === undefined ? {} : { gate }),
    ...(network === undefined ? {} : { network }),
    ...(options.cores === undefined ? {} : { cores: countOf('--cores', options.cores) }),
    ...(options.memory === undefined ? {} : { memory_mib: countOf('--memory', options.memory) }),
    ...(options.snapshots === undefined ? {} : { snapshots_most: countOf('--snapshots', options.snapshots) }),
    ...(options.ram === undefined ? {} : { include_ram: options.ram }),
    ...(options.archive === undefined ? {} : { archive: options.archive === 'none' ? null : options.archive }),
    ...(options.archivesKept === undefined ? {} : { archives_kept: countOf('--archives-kept', options.archivesKept) }),
    ...(options.spread === undefined ? {} : { spread_projects: options.spread }),
  }
}

const unreadable = (file: string, cause: Error): AutovibeError =>
  new AutovibeError('request.invalid', `The file ${file} cannot be read: ${cause.message}.`, {
    cause,
    fix: '--ca /etc/pve/pve-root-ca.pem, copied from a node',
  })

function countOf(option: string, text: string): number {
  if (!/^[0-9]{1,9}$/.test(text)) throw wrong(`${option} is a whole number, not ${JSON.stringify(text)}.`, `${option} 4`)
  return Number(text)
}

function templateOf(text: string): { vmid: number; node: string | null } {
  const [, vmid = '', node] = /^([0-9]{3,9})(?:@(\S+))?$/.exec(text) ?? []
  if (vmid === '') throw wrong(`${JSON.stringify(text)} is no template.`, '--template 9000, or for each node its own: --template 9000@pve1 9001@pve2')
  return { vmid: Number(vmid), node: node ?? null }
}

function vmidsOf(text: string): { from: number; to: number } {
  const [, from = '', to = ''] = /^([0-9]{3,9})-([0-9]{3,9})$/.exec(text) ?? []
  if (from === '') throw wrong(`${JSON.stringify(text)} is no range of numbers.`, '--vmids 900000-909999')
  return { from: Number(from), to: Number(to) }
}

function gateOf({ gate, gateListen }: SubstrateOptions, before: ProxmoxConfig | null): ProxmoxConfig['gate'] | undefined {
  if (gate === undefined && gateListen === undefined) return undefined
  const advertised = gate ?? before?.gate.advertised
  if (advertised === undefined) throw wrong('How machines reach the Hub is not said.', '--gate ADDRESS:PORT, an address of this host on the bridge')
  const port = advertised.split(':').at(-1)
  return { advertised, listen: gateListen ?? before?.gate.listen ?? `0.0.0.0:${port}` }
}

function networkOf({ network, first, gateway, nameserver }: SubstrateOptions, before: ProxmoxNetwork | null): ProxmoxNetwork | undefined {
  const details = first ?? gateway ?? nameserver
  if (network === 'dhcp') {
    if (details !== undefined)
      throw wrong(
        'With DHCP, machines are told everything by that.',
        'Leave out --first, --gateway and --nameserver, or name the network: --network 10.90.0.0/18',
      )
    return { kind: 'dhcp' }
  }
  if (network === undefined && details === undefined) return undefined
  const known = before?.kind === 'static' ? before : null
  const [subnet, start] = [network ?? known?.subnet, first ?? known?.first]
  if (subnet === undefined || start === undefined)
    throw wrong('A network of its own needs its addresses and where those of machines begin.', '--network 10.90.0.0/18 --first 10.90.1.0')
  return { kind: 'static', subnet, first: start, gateway: gateway ?? known?.gateway ?? null, nameserver: nameserver ?? known?.nameserver ?? null }
}
