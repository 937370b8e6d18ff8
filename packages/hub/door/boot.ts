/** Which boot of a machine may speak: the one that registered last. */
import { AutovibeError, type MachineId } from '@autovibe/contract'
import type { Tx } from '../database/database.ts'

/** Throws `conflict.state` when the machine registered another boot, or none since the Hub started it; its agent then registers again. */
export async function assertBoot(tx: Tx, machineId: MachineId, bootId: string): Promise<void> {
  const machine = await tx.selectFrom('machines').select('boot_id').where('id', '=', machineId).executeTakeFirst()
  if (machine?.boot_id !== bootId) throw unknownBoot()
}

export const unknownBoot = (): AutovibeError =>
  new AutovibeError('conflict.state', 'The Hub does not know this boot of the machine.', { fix: 'Register again: POST /door/register.' })
