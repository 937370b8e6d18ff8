/** How a VM says whose it is: by its name, which a clone has from its first moment, and by its tags, which only a later call can give it. */
import { isId, type MachineId } from '@autovibe/contract'

/** Hex digits of the Hub's id that a name has room for. */
const HUB_DIGITS = 8
const NAME = /^av-([0-9a-f]{8})-([0-9a-z]{26})$/

/** A DNS label: `av-`, eight hex digits of the Hub, the machine's id without its prefix. */
export const vmName = (hubId: string, machineId: MachineId): string => `av-${hubId.slice(0, HUB_DIGITS)}-${machineId.slice(4)}`

/** The machine that a VM of this name is, of this Hub; null for a VM of anybody else. */
export function machineOfName(hubId: string, name: string | undefined): MachineId | null {
  const [, hub, body] = NAME.exec(name ?? '') ?? []
  const id = `mch_${body}`
  return hub === hubId.slice(0, HUB_DIGITS) && isId('machine', id) ? id : null
}

export const vmTags = (hubId: string, machineId: MachineId): string => ['autovibe', `hub-${hubId}`, machineId].join(';')

/** What people read in Proxmox's own pages. */
export const vmNotes = (hubId: string, machineId: MachineId, name: string): string =>
  `autovibe machine ${name} (${machineId}) of Hub ${hubId}. It belongs to that Hub, which removes it when the machine is destroyed.`
