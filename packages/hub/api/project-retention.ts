/** `/v1/projects/:project/retention` and `/storage`: which checkpoints stay, what would go, and what all of them take. */
import { DEFAULT_RETENTION, ProjectSettings, ProjectStorage, PutProjectRetention, RetentionPlan, RetentionRequest, RetentionRules } from '@autovibe/contract'
import type { Database } from '../database/database.ts'
import { enqueueExpiry, planRetention } from '../operations/requests/retention.ts'
import { readRetentionRules } from '../operations/requests/retention-facts.ts'
import { change } from './plumbing/change.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { ProjectPath } from './projects.ts'
import { readProjectSettings } from './read/project-settings.ts'
import { readProject } from './read/projects.ts'
import { readProjectStorage, toRetained } from './read/retention.ts'

const tags = ['projects']

export function registerProjectRetention(app: Api, context: ApiContext): void {
  const { db, runtime, store } = context

  app.put(
    '/v1/projects/:project/retention',
    {
      schema: {
        tags,
        operationId: 'putProjectRetention',
        summary: 'Set which checkpoints of the project stay',
        description: 'What is left out is as by default. What no rule keeps expires at the next look, which comes every hour.',
        params: ProjectPath,
        body: PutProjectRetention.strict(),
        response: { 200: ProjectSettings },
      },
    },
    (request, reply) =>
      change(context, request, reply, { action: 'project.put_retention', status: 200 }, async (tx) => {
        const { id } = await readProject(tx, request.params.project)
        const isDefault = Object.keys(request.body).length === 0
        const rules = RetentionRules.parse({ ...DEFAULT_RETENTION, ...request.body })
        await tx
          .updateTable('projects')
          .set({ retention: isDefault ? null : JSON.stringify(rules) })
          .where('id', '=', id)
          .execute()
        return { body: await readProjectSettings(tx, id), subject: id, detail: { rules } }
      }),
  )

  app.post(
    '/v1/projects/:project/retention',
    {
      schema: {
        tags,
        operationId: 'retainCheckpoints',
        summary: 'Show which checkpoints would expire, and why the others stay; with apply, expire them',
        params: ProjectPath,
        body: RetentionRequest.strict(),
        response: { 200: RetentionPlan },
      },
    },
    async (request, reply) => {
      const { apply, limit } = request.body
      const look = async (on: Database) => {
        const { id } = await readProject(on, request.params.project)
        const rules = RetentionRules.parse({ ...(await readRetentionRules(on, id)), ...request.body.rules })
        const plan = await planRetention(on, id, rules, runtime.now().getTime())
        const body: RetentionPlan = {
          project_id: id,
          rules,
          expire: toRetained(plan, 'expire', limit),
          keep: toRetained(plan, 'keep', limit),
          operation_ids: [],
        }
        return { body, plan }
      }
      if (!apply) return (await look(db)).body
      return change(context, request, reply, { action: 'project.retain', status: 200 }, async (tx) => {
        const { body, plan } = await look(tx)
        const { project_id: id, rules, expire } = body
        return {
          body: { ...body, operation_ids: await enqueueExpiry(tx, runtime, id, rules, plan) },
          subject: id,
          detail: { rules, expire: expire.total },
        }
      })
    },
  )

  app.get(
    '/v1/projects/:project/storage',
    {
      schema: {
        tags,
        operationId: 'getProjectStorage',
        summary: 'Show what the checkpoints of a project take',
        params: ProjectPath,
        response: { 200: ProjectStorage },
      },
    },
    async (request) => readProjectStorage(db, store, (await readProject(db, request.params.project)).id),
  )
}
