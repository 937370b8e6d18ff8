/** What archives are taken with, or the refusal where the substrate has nothing for it. */
import { AutovibeError } from '@autovibe/contract'
import type { MachineArchives } from '../../substrates/substrate.ts'
import type { Ports } from '../ports.ts'

export function archivesOf({ substrate }: Pick<Ports, 'substrate'>): MachineArchives {
  if (substrate.archives !== undefined) return substrate.archives
  throw new AutovibeError(
    'conflict.state',
    'Archives are copies of whole virtual machines that Proxmox makes; on this host there are none. What outlives this host is a checkpoint in a store elsewhere.',
    { fix: 'autovibe checkpoint create MACHINE, in a store that is shared: docs/how-to/share-a-store.md' },
  )
}
