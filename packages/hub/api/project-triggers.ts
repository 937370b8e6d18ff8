/** `/v1/projects/:project/triggers`: when checkpoints of the project's machines are taken by themselves. */
import { DEFAULT_TRIGGERS, ProjectSettings, PutProjectTriggers, TriggerSettings } from '@autovibe/contract'
import { tellMachinesOf } from '../operations/requests/new-settings.ts'
import { change } from './plumbing/change.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { ProjectPath } from './projects.ts'
import { readProjectSettings } from './read/project-settings.ts'
import { readProject } from './read/projects.ts'

export function registerProjectTriggers(app: Api, context: ApiContext): void {
  app.put(
    '/v1/projects/:project/triggers',
    {
      schema: {
        tags: ['projects'],
        operationId: 'putProjectTriggers',
        summary: 'Set when checkpoints are taken by themselves',
        description: 'What is left out is as by default. Machines at work hear of it, and go by it from their next quiet point on.',
        params: ProjectPath,
        body: PutProjectTriggers.strict(),
        response: { 200: ProjectSettings },
      },
    },
    (request, reply) =>
      change(context, request, reply, { action: 'project.put_triggers', status: 200 }, async (tx) => {
        const { id } = await readProject(tx, request.params.project)
        const isDefault = Object.keys(request.body).length === 0
        const triggers = TriggerSettings.parse({ ...DEFAULT_TRIGGERS, ...request.body })
        await tx
          .updateTable('projects')
          .set({ triggers: isDefault ? null : JSON.stringify(triggers) })
          .where('id', '=', id)
          .execute()
        await tellMachinesOf(tx, id)
        return { body: await readProjectSettings(tx, id), subject: id, detail: { triggers } }
      }),
  )
}
