/** What a machine's VM is told, in Proxmox's own words, and what of it is not yet so. */
import { Buffer } from 'node:buffer'
import type { MachineLimits } from '@autovibe/contract'

export type VmConfig = Readonly<Record<string, string>>

export interface WantedVm {
  readonly limits: MachineLimits
  readonly tags: string
  readonly notes: string
  readonly bridge: string
  readonly ipConfig: string
  readonly nameserver: string | undefined
  readonly invitation: string
}

const MIB = 1024 ** 2
/** Proxmox's own least. */
const LEAST_MIB = 16
/** For the guest beside what the machine may take. */
export const GUEST_MIB = 256

/** Parameters of `PUT …/config` that make it so; of its cards only the first stays, with its own address. */
export function configOf(
  now: VmConfig,
  wanted: WantedVm,
): { readonly parameters: Readonly<Record<string, string | number | boolean>>; readonly remove: readonly string[] } {
  return {
    parameters: {
      ...sizeOf(wanted.limits),
      agent: 'enabled=1',
      onboot: false,
      tags: wanted.tags,
      description: wanted.notes,
      net0: cardOf(now['net0'], wanted.bridge),
      ipconfig0: wanted.ipConfig,
      ...(wanted.nameserver === undefined ? {} : { nameserver: wanted.nameserver }),
      smbios1: smbiosOf(now['smbios1'], wanted.invitation),
    },
    remove: Object.keys(now).filter((key) => /^net[1-9]\d*$/.test(key)),
  }
}

/** Cores and memory; half a core is one core that may be busy half of the time. */
export const sizeOf = ({ cores, memory_bytes }: MachineLimits): { cores: number; cpulimit: number; memory: string; balloon: number } => ({
  cores: Math.max(1, Math.ceil(cores)),
  // Zero is no limit beyond the cores themselves.
  cpulimit: Number.isInteger(cores) ? 0 : Math.round(cores * 100) / 100,
  memory: String(Math.max(LEAST_MIB, Math.ceil(memory_bytes / MIB)) + GUEST_MIB),
  balloon: 0,
})

/** `MODEL=MAC,…`: the address that Proxmox gave the clone stays, for without one it would make a new one. */
function cardOf(now: string | undefined, bridge: string): string {
  const card = /^[a-z0-9-]+=(?:[0-9A-F]{2}:){5}[0-9A-F]{2}(?=,|$)/i.exec(now ?? '')?.[0] ?? 'virtio'
  return `${card},bridge=${bridge},firewall=1`
}

/** The serial number is how the guest is told its Hub; everything else of the card stays. */
export function smbiosOf(now: string | undefined, invitation: string): string {
  const kept = (now ?? '').split(',').filter((part) => /^uuid=/.test(part))
  return [...kept, `serial=${Buffer.from(invitation, 'latin1').toString('base64')}`, 'base64=1'].join(',')
}

/** What the VM is told by its serial number; null where that is nothing of ours. */
export function invitationOf(config: VmConfig): string | null {
  const parts = (config['smbios1'] ?? '').split(',')
  const serial = parts.find((part) => part.startsWith('serial='))?.slice('serial='.length)
  if (serial === undefined || !parts.includes('base64=1')) return null
  return Buffer.from(serial, 'base64').toString('latin1')
}

export interface Rule {
  readonly type: 'out'
  readonly action: 'ACCEPT'
  readonly proto: string
  readonly dest: string
  readonly dport: string
}

/** All that a machine may reach: its Hub's gate. Answers to it come back by themselves. */
export const rulesOf = (gate: { readonly host: string; readonly port: number }): readonly Rule[] => [
  { type: 'out', action: 'ACCEPT', proto: 'tcp', dest: gate.host, dport: String(gate.port) },
]

/** Whether a drive's volume is one that templates have, from which linked clones are made: `thin:base-9000-disk-0`, `local:9000/base-9000-disk-0.qcow2`. */
export const isBaseDisk = (drive: string): boolean => /^[^:,]+:(?:[^,]*\/)?base-[^/,]+(?:,|$)/.test(drive)

/** The first disk that is no cloud-init drive, and its size in bytes; null where there is none. */
export function mainDisk(config: VmConfig): { readonly key: string; readonly sizeBytes: number } | null {
  for (const key of ['scsi0', 'virtio0', 'sata0', 'ide0']) {
    const value = config[key]
    const [, amount, unit = ''] = /(?:^|,)size=(\d+(?:\.\d+)?)([KMGT]?)/.exec(value ?? '') ?? []
    if (value === undefined || amount === undefined || /cloudinit|media=cdrom/.test(value)) continue
    return { key, sizeBytes: Math.round(Number(amount) * 1024 ** ' KMGT'.indexOf(unit || ' ')) }
  }
  return null
}
