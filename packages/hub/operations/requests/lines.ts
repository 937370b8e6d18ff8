/** The line along which a checkpoint came to be, and what moved a machine from one line to another. */
import type { CheckpointId, MachineId } from '@autovibe/contract'
import type { LinePoint } from '@autovibe/core/checkpoints/left-spans.ts'
import { sql } from 'kysely'
import type { Database } from '../../database/database.ts'

/** The longest line that is followed; a longer one counts as beginning there. */
const LINE_MAX = 100_000

/** The checkpoint, its parent, and so on to the first. One from before the Hub wrote down when trees stood still counts from when it was asked for, which is earlier. */
export async function readLine(db: Database, id: CheckpointId): Promise<LinePoint[]> {
  const { rows } = await sql<{ id: CheckpointId; machine_id: MachineId; frozen_at: Date }>`
    with recursive line as (
      select id, parent_id, machine_id, coalesce(frozen_at, created_at) as frozen_at, 0 as depth from checkpoints where id = ${id}
      union all
      select p.id, p.parent_id, p.machine_id, coalesce(p.frozen_at, p.created_at), line.depth + 1
        from line join checkpoints p on p.id = line.parent_id where line.depth < ${LINE_MAX}
    )
    select id, machine_id, frozen_at from line order by depth`.execute(db)
  return rows.map((row) => ({ id: row.id, machineId: row.machine_id, frozenAtMs: row.frozen_at.getTime() }))
}

/** The rollbacks that moved the machine, but for one: of an operation that was undone the step is undone too. */
export async function readRollbacks(db: Database, machineId: MachineId, except?: string): Promise<{ to: CheckpointId; atMs: number }[]> {
  const { rows } = await sql<{ to: CheckpointId; at: Date }>`
    select o.input->>'to' as to, s.ended_at as at
    from operations o join operation_steps s on s.operation_id = o.id and s.name = 'head' and s.state = 'done'
    where o.machine_id = ${machineId} and o.kind = 'rollback-machine' and o.id <> ${except ?? ''}`.execute(db)
  return rows.map(({ to, at }) => ({ to, atMs: at.getTime() }))
}
