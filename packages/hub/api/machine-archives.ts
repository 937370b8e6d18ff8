/** `/v1/archives`: Proxmox's own copies of whole machines, taken, shown and removed. */
import { CreatedMachineArchive, MachineArchive, MachineArchiveId, MachineArchiveQuery, MachineId, Name, OperationRef, pageOf } from '@autovibe/contract'
import { z } from 'zod'
import { change } from './plumbing/change.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { listMachineArchives, readMachineArchive } from './read/machine-archives.ts'
import { readMachine } from './read/machines.ts'

const tags = ['archives']
const params = z.object({ archive: MachineArchiveId })
const ofMachine = z.object({ machine: z.union([MachineId, Name], 'must be the name or the id of a machine') })
const NoBody = z.strictObject({})

export function registerMachineArchives(app: Api, context: ApiContext): void {
  const { db, requests } = context

  app.get(
    '/v1/archives',
    {
      schema: {
        tags,
        operationId: 'listMachineArchives',
        summary: 'List the archives that are there, on their way, or failed since the last that did not, newest first; of machines that are destroyed too',
        querystring: MachineArchiveQuery.strict(),
        response: { 200: pageOf(MachineArchive) },
      },
    },
    (request) => listMachineArchives(db, request.query),
  )

  app.get(
    '/v1/archives/:archive',
    { schema: { tags, operationId: 'getMachineArchive', summary: 'Show an archive', params, response: { 200: MachineArchive } } },
    (request) => readMachineArchive(db, request.params.archive),
  )

  app.post(
    '/v1/machines/:machine/archives',
    {
      schema: {
        tags,
        operationId: 'createMachineArchive',
        summary: 'Copy a whole machine to the storage for archives',
        description: 'A checkpoint is taken first, so that the copy has its tree whole. The machine goes on meanwhile. Older archives go afterwards.',
        params: ofMachine,
        body: NoBody,
        response: { 202: CreatedMachineArchive },
      },
    },
    (request, reply) =>
      change(context, request, reply, { action: 'archive.create', status: 202 }, async (tx) => {
        const machine = await readMachine(tx, request.params.machine)
        const { archiveId, operationId } = await requests.archiveMachine(tx, machine.id)
        const body = { archive: await readMachineArchive(tx, archiveId), operation_id: operationId }
        return { body, subject: archiveId, detail: { machine: machine.id } }
      }),
  )

  app.post(
    '/v1/archives/:archive/remove',
    {
      schema: {
        tags,
        operationId: 'removeMachineArchive',
        summary: 'Remove an archive for good',
        description: 'Only a copy whose notes name this archive and this Hub is touched.',
        params,
        body: NoBody,
        response: { 202: OperationRef },
      },
    },
    (request, reply) =>
      change(context, request, reply, { action: 'archive.remove', status: 202 }, async (tx) => {
        const { id } = await readMachineArchive(tx, request.params.archive)
        const { operationId } = await requests.removeArchive(tx, id)
        return { body: { operation_id: operationId }, subject: id }
      }),
  )
}
