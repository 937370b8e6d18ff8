/** `/v1/projects`: what is evolved, and the source that its machines start from. */
import { AutovibeError, CreateProject, Name, PageQuery, Project, ProjectId, pageOf } from '@autovibe/contract'
import { z } from 'zod'
import { recordEvent } from '../database/events.ts'
import { change } from './plumbing/change.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { isUniqueViolation } from './plumbing/problems.ts'
import { listProjects, readProject } from './read/projects.ts'

const tags = ['projects']
export const ProjectPath = z.object({ project: z.union([ProjectId, Name], 'must be the name or the id of a project') })

export function registerProjects(app: Api, context: ApiContext): void {
  const { db, runtime } = context

  app.post(
    '/v1/projects',
    { schema: { tags, operationId: 'createProject', summary: 'Make a project', body: CreateProject.strict(), response: { 201: Project } } },
    (request, reply) =>
      change(context, request, reply, { action: 'project.create', status: 201 }, async (tx) => {
        const id = runtime.newId('project')
        const { name } = request.body
        try {
          await tx.insertInto('projects').values({ id, name, source_sha256: null, created_at: runtime.now() }).execute()
        } catch (error) {
          if (!isUniqueViolation(error)) throw error
          throw new AutovibeError('conflict.name_taken', `There is a project named ${name} already.`, {
            fix: `Use it (GET /v1/projects/${name}), or choose another name.`,
          })
        }
        await recordEvent(tx, runtime, { type: 'project.created', project_id: id, data: { name } })
        return { body: await readProject(tx, id), subject: id }
      }),
  )

  app.get(
    '/v1/projects',
    {
      schema: {
        tags,
        operationId: 'listProjects',
        summary: 'List the projects, newest first',
        querystring: PageQuery.strict(),
        response: { 200: pageOf(Project) },
      },
    },
    (request) => listProjects(db, request.query),
  )

  app.get(
    '/v1/projects/:project',
    { schema: { tags, operationId: 'getProject', summary: 'Show a project', params: ProjectPath, response: { 200: Project } } },
    (request) => readProject(db, request.params.project),
  )
}
