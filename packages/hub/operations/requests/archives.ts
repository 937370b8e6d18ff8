/** Asks for an archive of a machine, and for its end: what must be so, the rows, and the operation. */
import { AutovibeError, type CheckpointId, type MachineArchiveId, type MachineId, type OperationId } from '@autovibe/contract'
import { assertMachineAllows, machineAllows } from '@autovibe/core/machines/transitions.ts'
import type { Tx } from '../../database/database.ts'
import { archiveMachine } from '../archive-machine.ts'
import { enqueue } from '../engine/enqueue.ts'
import type { Ports } from '../ports.ts'
import { removeArchive } from '../remove-archive.ts'
import { insertArchive, lockArchive } from '../steps/archive-state.ts'
import { lockMachine, type MachineRow } from '../steps/machine-state.ts'
import { archivesOf } from './archives-of.ts'

export async function requestArchive(
  ports: Ports,
  tx: Tx,
  machineId: MachineId,
  takeCheckpoint: () => Promise<{ checkpointId: CheckpointId }>,
): Promise<{ archiveId: MachineArchiveId; operationId: OperationId }> {
  const { storage } = archivesOf(ports)
  if (storage === null)
    throw new AutovibeError('conflict.state', 'Nobody has said to which storage of the cluster archives go.', {
      fix: 'autovibe substrate set NAME --archive STORAGE, a storage that takes backups, best a Proxmox Backup Server',
    })
  const machine = await lockMachine(tx, machineId)
  assertMachineAllows(machine, 'archive')
  const other = await tx.selectFrom('machine_archives').select('id').where('machine_id', '=', machineId).where('state', '=', 'taking').executeTakeFirst()
  if (other)
    throw new AutovibeError('conflict.busy', `An archive of ${machine.name} is being taken: ${other.id}.`, { fix: `autovibe machine archives ${machine.name}` })
  // A machine that is stopped changes no more: its newest checkpoint lies on its disk.
  const checkpointId = machineAllows(machine.state, 'checkpoint') ? (await takeCheckpoint()).checkpointId : await newestCheckpoint(tx, machine)
  const archiveId = await insertArchive(tx, ports.runtime, machine, checkpointId, storage)
  const subject = { projectId: machine.project_id, machineId, checkpointId }
  return { archiveId, operationId: await enqueue(tx, ports.runtime, archiveMachine, { archiveId, machineId, checkpointId }, subject) }
}

async function newestCheckpoint(tx: Tx, { id, name }: MachineRow): Promise<CheckpointId> {
  const newest = await tx
    .selectFrom('checkpoints')
    .select('id')
    .where('machine_id', '=', id)
    .where('state', '=', 'verified')
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst()
  if (newest) return newest.id
  throw new AutovibeError('conflict.state', `${name} is stopped, and has no checkpoint that an archive could contain.`, {
    fix: `autovibe machine start ${name}`,
  })
}

/** One that is being removed already has its operation. */
export async function requestArchiveRemoval(ports: Ports, tx: Tx, archiveId: MachineArchiveId): Promise<{ operationId: OperationId }> {
  archivesOf(ports)
  const { state, project_id: projectId, machine_id: machineId } = await lockArchive(tx, archiveId)
  const underWay = await tx
    .selectFrom('operations')
    .select('id')
    .where('kind', '=', removeArchive.kind)
    .where('machine_id', '=', machineId)
    .where('ended_at', 'is', null)
    .where((eb) => eb(eb.ref('input', '->>').key('archiveId'), '=', archiveId))
    .executeTakeFirst()
  if (underWay) return { operationId: underWay.id }
  if (state !== 'stored' && state !== 'failed')
    throw new AutovibeError('conflict.state', `The archive ${archiveId} is ${state}; only one that is stored or failed can be removed.`, {
      fix: state === 'taking' ? 'To give it up: autovibe operation list, autovibe operation cancel OPERATION' : 'autovibe machine archives',
    })
  return { operationId: await enqueue(tx, ports.runtime, removeArchive, { archiveId }, { projectId, machineId }) }
}
