/** Whether a request on a machine's socket comes from its agent: the token says so, as long as the machine may speak. */
import { createHash } from 'node:crypto'
import { AutovibeError, type MachineId } from '@autovibe/contract'
import type { Database } from '../database/database.ts'

/** The socket says which machine speaks; the token says that it is the agent and that the machine still may. Throws `auth.missing`. */
export async function assertToken(db: Database, machineId: MachineId, authorization: string | undefined): Promise<void> {
  const token = /^Bearer (\S{1,200})$/.exec(authorization ?? '')?.[1] ?? ''
  const hash = createHash('sha256').update(token).digest('hex')
  const machine = await db.selectFrom('machines').select('token_hash').where('id', '=', machineId).executeTakeFirst()
  if (machine?.token_hash !== hash) throw new AutovibeError('auth.missing', 'The token does not open this door.')
}
