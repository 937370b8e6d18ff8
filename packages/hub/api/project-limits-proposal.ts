/** `/v1/projects/:project/limits/proposal`: what the next machines of a project should be given, by what its runs used. Nothing is changed. */
import { LimitsProposal } from '@autovibe/contract'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { ProjectPath } from './projects.ts'
import { readLimitsProposal } from './read/limits-proposal.ts'

export function registerProjectLimitsProposal(app: Api, { db, runtime, requests }: ApiContext): void {
  app.get(
    '/v1/projects/:project/limits/proposal',
    {
      schema: {
        tags: ['projects'],
        operationId: 'getProjectLimitsProposal',
        summary: 'Propose limits for new machines by what runs used',
        description: 'Cores, memory and disk, each with its reason. To apply it, set the limits of the project.',
        params: ProjectPath,
        response: { 200: LimitsProposal },
      },
    },
    (request) => readLimitsProposal(db, request.params.project, requests.sizes(), runtime.now()),
  )
}
