/** `/v1/machines`: the isolated computers and what can be asked of them. */
import {
  AutovibeError,
  CreateCheckpoint,
  CreatedCheckpoint,
  type Json,
  Machine,
  MachineId,
  MachineLimitsChange,
  MachineQuery,
  MachineWait,
  Name,
  OperationRef,
  pageOf,
  RollbackEffects,
  RollbackMachine,
  RollbackQuery,
} from '@autovibe/contract'
import { z } from 'zod'
import { change } from './plumbing/change.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { machineWaitIsOver, waitUntil } from './plumbing/waiting.ts'
import { readCheckpoint } from './read/checkpoints.ts'
import { listMachines, readMachine } from './read/machines.ts'
import { readEffects } from './read/rollback-effects.ts'

const tags = ['machines']
const params = z.object({ machine: z.union([MachineId, Name], 'must be the name or the id of a machine') })
const NoBody = z.strictObject({})

export function registerMachines(app: Api, context: ApiContext): void {
  const { db, requests } = context

  app.get(
    '/v1/machines',
    {
      schema: {
        tags,
        operationId: 'listMachines',
        summary: 'List the machines, newest first',
        querystring: MachineQuery.strict(),
        response: { 200: pageOf(Machine) },
      },
    },
    (request) => listMachines(db, request.query),
  )

  app.get('/v1/machines/:machine', { schema: { tags, operationId: 'getMachine', summary: 'Show a machine', params, response: { 200: Machine } } }, (request) =>
    readMachine(db, request.params.machine),
  )

  app.get(
    '/v1/machines/:machine/wait',
    {
      schema: {
        tags,
        operationId: 'waitForMachine',
        summary: 'Wait until a machine is in a state, or cannot be',
        params,
        querystring: MachineWait.strict(),
        response: { 200: Machine },
      },
    },
    async (request, reply) => {
      // The name is resolved once: whoever waits for the end of a machine does not wait for the next of that name.
      const { id } = await readMachine(db, request.params.machine)
      const { for: target, timeout } = request.query
      return waitUntil(
        context,
        reply,
        timeout,
        () => readMachine(db, id),
        (machine) => machineWaitIsOver(target, machine),
      )
    },
  )

  for (const verb of ['stop', 'start', 'destroy'] as const) {
    const ask = { stop: requests.stopMachine, start: requests.startMachine, destroy: requests.destroyMachine }[verb].bind(requests)
    const schema = {
      tags,
      operationId: `${verb}Machine`,
      summary: `${verb[0]?.toUpperCase()}${verb.slice(1)} a machine`,
      params,
      body: NoBody,
      response: { 202: OperationRef },
    }
    app.post(`/v1/machines/:machine/${verb}`, { schema }, (request, reply) =>
      change(context, request, reply, { action: `machine.${verb}`, status: 202 }, async (tx) => {
        const { id } = await readMachine(tx, request.params.machine)
        const { operationId } = await ask(tx, id)
        return { body: { operation_id: operationId }, subject: id }
      }),
    )
  }

  app.put(
    '/v1/machines/:machine/limits',
    {
      schema: {
        tags,
        operationId: 'putMachineLimits',
        summary: 'Change what a machine may take',
        description: 'What is left out stays as it is. Disk and wall time hold at once, the others from its next start on.',
        params,
        body: MachineLimitsChange.strict(),
        response: { 200: Machine },
      },
    },
    (request, reply) =>
      change(context, request, reply, { action: 'machine.put_limits', status: 200 }, async (tx) => {
        const { id } = await readMachine(tx, request.params.machine)
        await requests.limitMachine(tx, id, request.body)
        return { body: await readMachine(tx, id), subject: id, detail: request.body as Record<string, Json> }
      }),
  )

  app.get(
    '/v1/machines/:machine/rollback',
    {
      schema: {
        tags,
        operationId: 'getRollbackEffects',
        summary: 'Show what a rollback to a checkpoint could not undo',
        description: 'Changes nothing. What has begun but is not settled or counted yet is in the output of the operation that rolls back.',
        params,
        querystring: RollbackQuery.strict(),
        response: { 200: RollbackEffects },
      },
    },
    async (request) => readEffects(db, (await readMachine(db, request.params.machine)).id, request.query.to),
  )

  app.post(
    '/v1/machines/:machine/rollback',
    {
      schema: {
        tags,
        operationId: 'rollbackMachine',
        summary: 'Bring a machine back to a checkpoint of its line',
        params,
        body: RollbackMachine.strict(),
        response: { 202: OperationRef },
      },
    },
    (request, reply) =>
      change(context, request, reply, { action: 'machine.rollback', status: 202 }, async (tx) => {
        const { id } = await readMachine(tx, request.params.machine)
        const to = request.body.checkpoint
        const { operationId } = await requests.rollbackMachine(tx, id, to)
        return { body: { operation_id: operationId }, subject: id, detail: { checkpoint: to } }
      }),
  )

  app.post(
    '/v1/machines/:machine/checkpoints',
    {
      schema: {
        tags,
        operationId: 'createCheckpoint',
        summary: 'Take a checkpoint of a machine',
        params,
        body: CreateCheckpoint.strict(),
        response: { 202: CreatedCheckpoint },
      },
    },
    (request, reply) =>
      change(context, request, reply, { action: 'checkpoint.create', status: 202 }, async (tx) => {
        const machine = await readMachine(tx, request.params.machine)
        if (machine.destroyed_at !== null)
          throw new AutovibeError('conflict.state', `The machine ${machine.name} is destroyed.`, { fix: `autovibe checkpoint list ${machine.id}` })
        const { checkpointId, operationId } = await requests.createCheckpoint(tx, machine.id, request.body.label ?? null)
        return {
          body: { checkpoint: await readCheckpoint(tx, checkpointId), operation_id: operationId },
          subject: checkpointId,
          detail: { machine: machine.id },
        }
      }),
  )
}
