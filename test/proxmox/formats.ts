/** Named formats of Proxmox's description: each a test of one value that answers Proxmox's complaint, or null. */

type Test = (value: string) => string | null

const IPV4 = '(?:(?:25[0-5]|(?:2[0-4]|1[0-9]|[1-9])?[0-9])\\.){3}(?:25[0-5]|(?:2[0-4]|1[0-9]|[1-9])?[0-9])'
const H16 = '[0-9a-fA-F]{1,4}'
const LS32 = `(?:${IPV4}|${H16}:${H16})`
const IPV6 = [
  `(?:${H16}:){6}${LS32}`,
  `::(?:${H16}:){5}${LS32}`,
  `(?:${H16})?::(?:${H16}:){4}${LS32}`,
  `(?:(?:${H16}:){0,1}${H16})?::(?:${H16}:){3}${LS32}`,
  `(?:(?:${H16}:){0,2}${H16})?::(?:${H16}:){2}${LS32}`,
  `(?:(?:${H16}:){0,3}${H16})?::${H16}:${LS32}`,
  `(?:(?:${H16}:){0,4}${H16})?::${LS32}`,
  `(?:(?:${H16}:){0,5}${H16})?::${H16}`,
  `(?:(?:${H16}:){0,6}${H16})?::`,
].join('|')
const EMAIL_USER = '[\\w+\\-~]+(?:\\.[\\w+\\-~]+)*'
const LABEL = '[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?'

const matches = (pattern: string | RegExp, complaint: string | ((value: string) => string)): Test => {
  const whole = typeof pattern === 'string' ? new RegExp(`^(?:${pattern})$`) : pattern
  return (value) => (whole.test(value) ? null : typeof complaint === 'string' ? complaint : complaint(value))
}
const looksLike = (pattern: string | RegExp, what: string): Test => matches(pattern, `value does not look like a valid ${what}`)
const either =
  (complaint: string, ...tests: Test[]): Test =>
  (value) =>
    tests.some((test) => test(value) === null) ? null : complaint
/** Names of two characters and more: a letter first, a letter or digit last. */
const identifier =
  (kind: string): Test =>
  (value) =>
    value.length < 2
      ? `${kind} ID '${value}' cannot be shorter than 2 characters`
      : /^[a-z][a-z0-9\-_.]*[a-z0-9]$/i.test(value)
        ? null
        : `${kind} ID '${value}' contains illegal characters`
const cidr =
  (address: string, most: number, what: string): Test =>
  (value) => {
    const bits = Number(new RegExp(`^(?:${address})/(\\d+)$`).exec(value)?.[1])
    return bits > 7 && bits <= most ? null : `value does not look like a valid ${what} CIDR network`
  }
const cidrV4 = cidr(IPV4, 32, 'IPv4')
const cidrV6 = cidr(IPV6, 128, 'IPv6')
const ip = looksLike(`${IPV4}|${IPV6}`, 'IP address')
const dnsName = looksLike(`(?:${LABEL}\\.)*${LABEL}`, 'DNS name')
const volumeId: Test = (value) => (/^([a-z][a-z0-9\-_.]*[a-z0-9]):(.+)$/i.test(value) ? null : `unable to parse volume ID '${value}'`)
const anything: Test = () => null
const startup: Test = (value) =>
  value !== '' && value.split(',').every((part) => /^(?:\s*|(?:order=)?\d+|up=\d+|down=\d+)$/.test(part)) ? null : 'unable to parse startup options'
const storagePair: Test = (value) =>
  value === '1' || value.split(':').every((part) => identifier('storage')(part) === null) ? null : `entry '${value}' contains invalid ID - `

/** By name; `-list` and `-opt` are derived. */
const FORMATS: Readonly<Record<string, Test>> = {
  string: anything,
  urlencoded: matches(/^[-%a-zA-Z0-9_.!~*'()]*$/, (value) => `invalid urlencoded string: ${value}`),
  'pve-configid': matches(/^[a-z][a-z0-9_-]+$/i, (value) => `invalid configuration ID '${value}'`),
  'pve-storage-id': identifier('storage'),
  'pve-bridge-id': matches(/^[-_.\w]+$/, (value) => `invalid bridge ID '${value}'`),
  'pve-vmid': looksLike('[1-9][0-9]{2,8}', 'VM ID'),
  'pve-node': looksLike(LABEL, 'node name'),
  'mac-addr': looksLike(/^[a-f0-9][02468ace](?::[a-f0-9]{2}){5}$/i, 'unicast MAC address'),
  ipv4: looksLike(IPV4, 'IPv4 address'),
  ipv6: looksLike(IPV6, 'IPv6 address'),
  ip,
  CIDRv4: cidrV4,
  CIDRv6: cidrV6,
  CIDR: either('value does not look like a valid CIDR network', cidrV4, cidrV6),
  IPorCIDR: either('value does not look like a valid IP address or CIDR network', ip, cidrV4, cidrV6),
  IPorCIDRorAlias: either('value does not look like a valid IP address or CIDR network', ip, cidrV4, cidrV6, matches(/^[A-Za-z][A-Za-z0-9\-_]+$/, '')),
  'pve-ipv4-config': either('value does not look like a valid ipv4 network configuration', matches('dhcp|manual', ''), cidrV4),
  'pve-ipv6-config': either('value does not look like a valid ipv6 network configuration', matches('auto|dhcp|manual', ''), cidrV6),
  'dns-name': dnsName,
  address: (value) => (ip(value) === null || dnsName(value) === null ? null : `value does not look like a valid address: ${value}`),
  email: looksLike(`${EMAIL_USER}@[a-zA-Z0-9-]+(?:\\.[a-zA-Z0-9-]+)*`, 'email address'),
  'email-or-username': looksLike(`${EMAIL_USER}(?:@[a-zA-Z0-9-]+(?:\\.[a-zA-Z0-9-]+)*)?`, 'email address or user name'),
  'pve-iface': matches(/^[a-z][a-z0-9_]{1,20}([:.]\d+)?$/i, (value) => `invalid network interface name '${value}'`),
  'disk-size': matches(/^\d+(\.\d+)?(?:[KMGT](?:iB)?)?$/, (value) => `value does not look like a valid disk size: ${value}`),
  'pve-tag': matches(/^[a-z0-9_][a-z0-9_\-+.]*$/i, 'invalid characters in tag'),
  'pve-startup-order': startup,
  'pve-task-status-type': matches(/^(ok|error|warning|unknown)$/i, (value) => `invalid status '${value}'`),
  'pve-volume-id': volumeId,
  'pve-volume-id-or-qm-path': either(
    'unable to parse volume ID',
    matches('none|cdrom|cloudinit', ''),
    matches(/^(([^/:\s]+):)?\d+(\.\d+)?$/, ''),
    matches(/^\/.+$/, ''),
    volumeId,
  ),
  // The drive behind `cdrom`, an old name of ide2; the options after it are ide2's.
  'pve-qm-ide': (value) => (/^(?:file=)?[^,=]+(?:,[a-z_-]+=[^,]+)*$/.test(value) ? null : 'unable to parse drive options'),
  'pve-volume-id-or-absolute-path': either('unable to parse volume ID', matches(/^\/.+$/, ''), volumeId),
  'pve-storage-content': matches('images|rootdir|vztmpl|iso|backup|snippets|import|none', (value) => `invalid content type '${value}'`),
  'storage-pair': storagePair,
  'pve-qm-bootdisk': matches('(?:ide|sata|scsi|virtio)\\d+', (value) => `invalid boot disk '${value}'`),
  'pve-poolid': matches('(?:[A-Za-z0-9.\\-_]+)(?:/[A-Za-z0-9.\\-_]+){0,2}', (value) => `pool name '${value}' contains invalid characters`),
  'pve-groupid': matches(/^[A-Za-z0-9.\-_]+$/, (value) => `group name '${value}' contains invalid characters`),
  'pve-roleid': matches(/^[A-Za-z0-9.\-_]+$/, (value) => `role name '${value}' contains invalid characters`),
  'pve-priv': matches(/^[A-Z][A-Za-z]+(?:\.[A-Z][A-Za-z]+)+$/, (value) => `invalid privilege '${value}'`),
  'pve-realm': matches(/^[A-Za-z][A-Za-z0-9.\-_]+$/, (value) => `value '${value}' does not look like a valid realm`),
  'pve-userid': matches(/^[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+$/, (value) => `value '${value}' does not look like a valid user name`),
  'pve-tokenid': matches(/^[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+![A-Za-z][A-Za-z0-9.\-_]+$/, (value) => `value '${value}' does not look like a valid token ID`),
  'pve-fw-addr-spec': matches(/^[^\s"]+$/, 'invalid address specification'),
  'pve-fw-dport-spec': matches(/^[A-Za-z0-9\-:,_]+$/, 'invalid port specification'),
  'pve-fw-sport-spec': matches(/^[A-Za-z0-9\-:,_]+$/, 'invalid port specification'),
  'pve-fw-protocol-spec': matches(/^[a-z0-9\-.]+$/i, 'invalid protocol'),
  'pve-fw-icmp-type-spec': matches(/^[a-z0-9\-/]+$/i, 'invalid icmp-type'),
  'pve-hotplug-features': matches(
    /^(?:[01]|(?:network|disk|cpu|memory|usb|cloudinit)(?:[,;\s]+(?:network|disk|cpu|memory|usb|cloudinit))*)$/,
    'unable to parse hotplug option',
  ),
  'pve-cpuset': matches(/^\s*\d+(?:-\d+)?(?:\s*,\s*\d+(?:-\d+)?)*\s*$/, 'unable to parse cpuset'),
}

/** The complaint about one value; undefined when we have no test for a format of that name. */
export function complaintOf(format: string, value: string, listOf: (text: string) => readonly string[]): string | null | undefined {
  const [, name = format, kind] = /^(.*?)(?:-(list|opt))?$/.exec(format) ?? []
  const test = FORMATS[name]
  if (!test) return undefined
  if (kind === 'opt') return value === '' || value === '0' ? null : test(value)
  if (kind !== 'list') return test(value)
  for (const each of listOf(value)) {
    const complaint = test(each)
    if (complaint !== null) return complaint
  }
  return null
}
