/** `/v1/runs`: prompts at work, their steps, and the ways to stop and go on. */
import { CreatedRun, CreateRun, PageQuery, pageOf, Run, RunId, RunQuery, RunWait, Step } from '@autovibe/contract'
import { z } from 'zod'
import { change } from './plumbing/change.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { runWaitIsOver, waitUntil } from './plumbing/waiting.ts'
import { listRuns, readRun } from './read/runs.ts'
import { listSteps } from './read/steps.ts'

const tags = ['runs']
const params = z.object({ run: RunId })
const NoBody = z.strictObject({})

export function registerRuns(app: Api, context: ApiContext): void {
  const { db, requests } = context

  app.post(
    '/v1/runs',
    {
      schema: {
        tags,
        operationId: 'createRun',
        summary: 'Run a prompt',
        description: 'Asks for an Idempotency-Key.',
        body: CreateRun.strict(),
        response: { 201: CreatedRun },
      },
    },
    (request, reply) =>
      change(context, request, reply, { action: 'run.create', status: 201, keyRequired: true }, async (tx) => {
        const { runId, machineId, operationId } = await requests.createRun(tx, request.body)
        return {
          body: { run: await readRun(tx, runId), operation_id: operationId },
          subject: runId,
          detail: { machine: machineId, budget: request.body.budget },
        }
      }),
  )

  app.get(
    '/v1/runs',
    { schema: { tags, operationId: 'listRuns', summary: 'List the runs, newest first', querystring: RunQuery.strict(), response: { 200: pageOf(Run) } } },
    (request) => listRuns(db, request.query),
  )

  app.get('/v1/runs/:run', { schema: { tags, operationId: 'getRun', summary: 'Show a run', params, response: { 200: Run } } }, (request) =>
    readRun(db, request.params.run),
  )

  app.get(
    '/v1/runs/:run/wait',
    {
      schema: {
        tags,
        operationId: 'waitForRun',
        summary: 'Wait until a run is running, or has ended',
        params,
        querystring: RunWait.strict(),
        response: { 200: Run },
      },
    },
    (request, reply) => {
      const { for: target, timeout } = request.query
      return waitUntil(
        context,
        reply,
        timeout,
        () => readRun(db, request.params.run),
        (run) => runWaitIsOver(target, run.state),
      )
    },
  )

  app.get(
    '/v1/runs/:run/steps',
    {
      schema: {
        tags,
        operationId: 'listSteps',
        summary: 'List the steps of a run, first to last',
        params,
        querystring: PageQuery.strict(),
        response: { 200: pageOf(Step) },
      },
    },
    async (request) => {
      const { id } = await readRun(db, request.params.run)
      return listSteps(db, id, request.query)
    },
  )

  app.post(
    '/v1/runs/:run/cancel',
    { schema: { tags, operationId: 'cancelRun', summary: 'End a run', params, body: NoBody, response: { 202: Run } } },
    (request, reply) =>
      change(context, request, reply, { action: 'run.cancel', status: 202 }, async (tx) => {
        const { id } = await readRun(tx, request.params.run)
        await requests.cancelRun(tx, id)
        return { body: await readRun(tx, id), subject: id }
      }),
  )

  app.post(
    '/v1/runs/:run/resume',
    { schema: { tags, operationId: 'resumeRun', summary: 'Let a paused run go on', params, body: NoBody, response: { 202: Run } } },
    (request, reply) =>
      change(context, request, reply, { action: 'run.resume', status: 202 }, async (tx) => {
        const { id } = await readRun(tx, request.params.run)
        await requests.resumeRun(tx, id)
        return { body: await readRun(tx, id), subject: id }
      }),
  )
}
