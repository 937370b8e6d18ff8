/** The rows of an import: a machine that stands for it and never ran, and the checkpoint that the archive becomes. */
import type { CheckpointId, OperationId, ProjectId } from '@autovibe/contract'
import type { Tx } from '../../database/database.ts'
import { recordEvent } from '../../database/events.ts'
import { enqueue } from '../engine/enqueue.ts'
import { importCheckpoint } from '../import-checkpoint.ts'
import type { Ports } from '../ports.ts'
import { insertCheckpoint } from '../steps/checkpoint-state.ts'

export interface NewImport {
  readonly checkpointId: CheckpointId
  readonly projectId: ProjectId
  readonly contents: 'project' | 'all'
  readonly label: string | null
  /** The commit that the files are from, where they are. */
  readonly commit: string | null
}

/** What machines say of one that never was. */
const NEVER_RAN = 'It stands for an import, and never ran.'

/** The archive must be kept already (see imports.ts). */
export async function insertImport(
  { runtime }: Pick<Ports, 'runtime'>,
  tx: Tx,
  { checkpointId, projectId, contents, label, commit }: NewImport,
): Promise<OperationId> {
  const machineId = runtime.newId('machine')
  const now = runtime.now()
  // Of random characters, as the name of one that is no more need not be free.
  const name = `import-${machineId.slice(-8)}`
  const machine = await tx
    .insertInto('machines')
    .values({
      id: machineId,
      name,
      project_id: projectId,
      state: 'destroyed',
      state_reason: NEVER_RAN,
      substrate: null,
      isolation: null,
      copy_tier: null,
      source_sha256: await sourceWith(tx, projectId, commit),
      parent_checkpoint_id: null,
      head_checkpoint_id: null,
      token_hash: null,
      allow_unisolated: false,
      boot_id: null,
      registered_at: null,
      last_heartbeat_at: null,
      quiet_revision: null,
      notice: null,
      run_id: null,
      created_at: now,
      destroyed_at: now,
      limits: null,
    })
    .returningAll()
    .executeTakeFirstOrThrow()
  const data = { name, from: null, to: 'destroyed', reason: NEVER_RAN }
  await recordEvent(tx, runtime, { type: 'machine.state_changed', project_id: projectId, machine_id: machineId, data })
  await insertCheckpoint(tx, runtime, machine, { id: checkpointId, trigger: 'import', label, runId: null, step: null })
  return enqueue(tx, runtime, importCheckpoint, { checkpointId, machineId, contents }, { projectId, machineId, checkpointId })
}

/** The project's source, when it is this very commit: a branch that is made of the checkpoint later finds its place by it. */
async function sourceWith(tx: Tx, projectId: ProjectId, commit: string | null): Promise<string | null> {
  if (commit === null) return null
  const source = await tx
    .selectFrom('projects as p')
    .innerJoin('sources as s', 's.sha256', 'p.source_sha256')
    .select('s.sha256')
    .where('p.id', '=', projectId)
    .where((eb) => eb.or([eb('s.commit', '=', commit), eb('s.base_commit', '=', commit)]))
    .executeTakeFirst()
  return source?.sha256 ?? null
}
