/** The cloud-init drive that Proxmox makes of a VM's configuration: user data, metadata and network in the form of its nocloud type. */
import { createHash } from 'node:crypto'
import { listOf, percentDecoded } from './answers.ts'
import type { CloudInit } from './guests.ts'
import { type Config, drivesOf, isCloudInit, nicKeys, parseNic } from './vm-config.ts'

/** Null for a VM without such a drive. */
export function cloudInitOf(vmid: number, config: Readonly<Config>): CloudInit | null {
  if (!drivesOf(config).some(isCloudInit)) return null
  const user = userData(vmid, config)
  const network = networkData(config)
  const instance = createHash('sha1')
    .update(user + network)
    .digest('hex')
  return { user, network, meta: `instance-id: ${instance}\n` }
}

function userData(vmid: number, config: Readonly<Config>): string {
  const host = config['name'] ?? `VM${vmid}`
  const [short = host] = host.split('.')
  const domain = config['searchdomain']?.split(/[\s,;]+/)[0]
  const keys = percentDecoded(config['sshkeys'] ?? '')
    .split('\n')
    .filter((line) => line.trim() !== '')
  return [
    '#cloud-config',
    `hostname: ${short}`,
    'manage_etc_hosts: true',
    ...(host.includes('.') || domain ? [`fqdn: ${host.includes('.') ? host : `${host}.${domain}`}`] : []),
    ...(config['ciuser'] ? [`user: ${config['ciuser']}`] : []),
    'disable_root: False',
    ...(config['cipassword'] ? [`password: ${config['cipassword']}`] : []),
    ...(keys.length > 0 ? ['ssh_authorized_keys:', ...keys.map((key) => `  - ${key}`)] : []),
    'chpasswd:',
    '  expire: False',
    ...(config['ciuser'] === 'root' ? [] : ['users:', '  - default']),
    ...(config['ciupgrade'] === '0' ? [] : ['package_upgrade: true']),
    '',
  ].join('\n')
}

function networkData(config: Readonly<Config>): string {
  const lines = ['version: 1', 'config:']
  for (const key of nicKeys(config)) {
    const index = key.slice(3)
    const nic = parseNic(config[key] ?? '')
    lines.push('    - type: physical', `      name: eth${index}`, `      mac_address: '${(nic['macaddr'] ?? '').toLowerCase()}'`, '      subnets:')
    const ip = Object.fromEntries((config[`ipconfig${index}`] ?? 'ip=dhcp').split(',').map((part) => part.split('=', 2) as [string, string]))
    if (ip['ip'] === 'dhcp' || (ip['ip'] === undefined && ip['ip6'] === undefined)) lines.push('      - type: dhcp4')
    else if (ip['ip'])
      lines.push(
        '      - type: static',
        `        address: '${ip['ip'].split('/')[0]}'`,
        `        netmask: '${netmask(Number(ip['ip'].split('/')[1]))}'`,
        ...(ip['gw'] ? [`        gateway: '${ip['gw']}'`] : []),
      )
    if (ip['ip6'] === 'dhcp') lines.push('      - type: dhcp6')
    else if (ip['ip6'] === 'auto') lines.push('      - type: ipv6_slaac')
    else if (ip['ip6']) lines.push('      - type: static6', `        address: '${ip['ip6']}'`, ...(ip['gw6'] ? [`        gateway: '${ip['gw6']}'`] : []))
  }
  const servers = listOf(config['nameserver'])
  const domains = listOf(config['searchdomain'])
  if (servers.length > 0 || domains.length > 0) {
    lines.push('    - type: nameserver')
    if (servers.length > 0) lines.push('      address:', ...servers.map((server) => `      - '${server}'`))
    if (domains.length > 0) lines.push('      search:', ...domains.map((domain) => `      - '${domain}'`))
  }
  return `${lines.join('\n')}\n`
}

const netmask = (bits: number): string => [0, 1, 2, 3].map((byte) => 256 - 2 ** (8 - Math.min(8, Math.max(0, bits - byte * 8)))).join('.')
