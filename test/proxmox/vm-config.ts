/** A VM's configuration as Proxmox keeps it: text by key; its drives, cards, defaults and digest. */
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { listOf } from './answers.ts'
import { type Keys, parsePropertyString, printPropertyString } from './property-strings.ts'

export type Config = Record<string, string>

const DRIVE = /^(?:ide[0-3]|sata[0-5]|scsi(?:[12]?\d|30)|virtio(?:\d|1[0-5])|efidisk0|tpmstate0)$/
const MODELS = [
  'e1000',
  'e1000-82540em',
  'e1000-82544gc',
  'e1000-82545em',
  'e1000e',
  'i82551',
  'i82557b',
  'i82559er',
  'ne2k_isa',
  'ne2k_pci',
  'pcnet',
  'rtl8139',
  'virtio',
  'vmxnet3',
]
const NIC_KEYS: Keys = {
  model: { default_key: 1 },
  ...Object.fromEntries(
    ['macaddr', 'bridge', 'firewall', 'link_down', 'mtu', 'queues', 'rate', 'tag', 'trunks'].map((key) => [
      key,
      key === 'firewall' || key === 'link_down' ? { type: 'boolean' } : {},
    ]),
  ),
  ...Object.fromEntries(MODELS.map((model) => [model, { alias: 'macaddr', keyAlias: 'model' }])),
}

export const isDrive = (key: string): boolean => DRIVE.test(key)

export interface Drive {
  readonly key: string
  readonly file: string
  readonly options: Readonly<Record<string, string>>
}

export function parseDrive(key: string, text: string): Drive {
  const options: Record<string, string> = {}
  let file = ''
  for (const part of text.split(',')) {
    const [, name, value = ''] = /^([^=]+)=(.*)$/s.exec(part) ?? []
    if (name === undefined || name === 'file' || name === 'volume') file = name === undefined ? part : value
    else options[name] = value
  }
  return { key, file, options }
}

export const printDrive = (drive: Drive): string => printPropertyString({ ...drive.options, file: drive.file }, 'file')
export const isCloudInit = (drive: Drive): boolean => drive.file === 'cloudinit' || /:(?:[^:]*\/)?(?:vm-\d+-)?cloudinit(?:\.\w+)?$/.test(drive.file)
export const isCdrom = (drive: Drive): boolean => drive.options['media'] === 'cdrom' || isCloudInit(drive)

export const drivesOf = (config: Readonly<Config>): Drive[] =>
  Object.keys(config)
    .filter(isDrive)
    .sort()
    .map((key) => parseDrive(key, config[key] ?? ''))

/** Drives that are disks: no CD, no cloud-init. */
export const disksOf = (config: Readonly<Config>): Drive[] => drivesOf(config).filter((drive) => !isCdrom(drive))

export const nicKeys = (config: Readonly<Config>): string[] =>
  Object.keys(config)
    .filter((key) => /^net\d+$/.test(key))
    .sort()

export const parseNic = (text: string): Readonly<Record<string, string>> => parsePropertyString(NIC_KEYS, text).values

export function printNic(nic: Readonly<Record<string, string>>): string {
  const { model = 'virtio', macaddr = randomMac(), ...rest } = nic
  return printPropertyString({ ...rest, model: `${model}=${macaddr}` }, 'model')
}

export const withMac = (text: string): string => printNic(parseNic(text))
/** A clone's card has an address of its own. */
export const withNewMac = (text: string): string => printNic({ ...parseNic(text), macaddr: randomMac() })
const randomMac = (): string => ['BC', '24', '11', ...[...randomBytes(3)].map((byte) => byte.toString(16).toUpperCase().padStart(2, '0'))].join(':')

export const newSmbios = (text: string | undefined): string => {
  const others = (text ?? '').split(',').filter((part) => part !== '' && !part.startsWith('uuid='))
  return [...others, `uuid=${randomUUID()}`].join(',')
}

export function agentOptions(config: Readonly<Config>): { readonly enabled: boolean; readonly freezes: boolean } {
  const keys: Keys = {
    enabled: { type: 'boolean', default_key: 1 },
    'freeze-fs': { type: 'boolean' },
    'freeze-fs-on-backup': { alias: 'freeze-fs' },
    'guest-fsfreeze': { alias: 'freeze-fs' },
    type: {},
    fstrim_cloned_disks: { type: 'boolean' },
  }
  const { values } = parsePropertyString(keys, config['agent'] ?? '')
  const enabled = values['enabled'] === '1'
  return { enabled, freezes: enabled && values['freeze-fs'] !== '0' && values['freeze-fs'] !== 'off' }
}

export const memoryMib = (config: Readonly<Config>): number => Number((config['memory'] ?? '512').replace(/^current=/, '').split(',')[0])
export const coresOf = (config: Readonly<Config>): number => Number(config['sockets'] ?? 1) * Number(config['cores'] ?? 1)

export const uniqueTags = (text: string): string => [...new Set(listOf(text).map((tag) => tag.toLowerCase()))].sort().join(';')

export const digestOf = (config: Readonly<Config>): string =>
  createHash('sha1')
    .update(JSON.stringify(Object.entries(config).sort(([left], [right]) => (left < right ? -1 : 1))))
    .digest('hex')

/** `cdrom` is an old name of ide2. */
export function withoutAlias({ cdrom, ...config }: Config): Config {
  return cdrom === undefined ? config : { ...config, ide2: cdrom.includes('media=') ? cdrom : `${cdrom},media=cdrom` }
}

/** Whole numbers come as numbers, as Perl's encoder gives them; sizes of memory are property strings and stay text. */
const NUMBERS =
  /^(?:acpi|autostart|balloon|cores|cpulimit|cpuunits|freeze|kvm|localtime|migrate_downtime|migrate_speed|numa|onboot|protection|reboot|shares|smp|snaptime|sockets|tablet|tdf|template|vcpus|ciupgrade)$/

export const published = (config: Readonly<Config>): Record<string, string | number> =>
  Object.fromEntries(
    Object.entries(config).map(([key, value]) => [key, NUMBERS.test(key) && value !== '' ? Number(value) : key === 'cipassword' ? '**********' : value]),
  )
