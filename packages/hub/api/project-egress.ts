/** `/v1/projects/:project/egress`: all that the machines of a project may reach beyond their Hub. */
import { AutovibeError, type FieldError, ProjectSettings, PutProjectEgress } from '@autovibe/contract'
import { type NoRule, parseRule, type RuleText, ruleText } from '@autovibe/core/egress/rules.ts'
import { tellMachinesOf } from '../operations/requests/new-settings.ts'
import { change } from './plumbing/change.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { ProjectPath } from './projects.ts'
import { readProjectSettings } from './read/project-settings.ts'
import { readProject } from './read/projects.ts'

export function registerProjectEgress(app: Api, context: ApiContext): void {
  app.put(
    '/v1/projects/:project/egress',
    {
      schema: {
        tags: ['projects'],
        operationId: 'putProjectEgress',
        summary: 'Set what its machines may reach beyond the Hub',
        description:
          'The whole list, instead of the one before. Machines at work hear of it, and what is open to a destination that is no longer on it is ended.',
        params: ProjectPath,
        body: PutProjectEgress.strict(),
        response: { 200: ProjectSettings },
      },
    },
    (request, reply) => {
      const rules = canonical(request.body.egress)
      return change(context, request, reply, { action: 'project.put_egress', status: 200 }, async (tx) => {
        const { id } = await readProject(tx, request.params.project)
        await tx.deleteFrom('project_egress').where('project_id', '=', id).execute()
        if (rules.length > 0)
          await tx
            .insertInto('project_egress')
            .values(rules.map((rule) => ({ project_id: id, ...rule })))
            .execute()
        await tellMachinesOf(tx, id)
        return { body: await readProjectSettings(tx, id), subject: id, detail: { egress: rules.map((rule) => ({ ...rule })) } }
      })
    },
  )
}

/** Each destination once, in its one spelling; `request.invalid` names everything that no rule can be. */
function canonical(given: readonly RuleText[]): RuleText[] {
  const rules = new Map<string, RuleText>()
  const errors: FieldError[] = []
  let fix: string | undefined
  for (const [index, text] of given.entries()) {
    const rule = parseRule(text)
    if ('wrong' in rule) {
      errors.push({
        path: `/egress/${index}/${rule.instead === 'as-private' ? 'private' : 'destination'}`,
        message: `${JSON.stringify(text.destination)}: ${rule.wrong}`,
      })
      fix ??= fixOf(rule, text)
    } else {
      const written = ruleText(rule)
      rules.set(written.destination, { ...written, private: written.private || (rules.get(written.destination)?.private ?? false) })
    }
  }
  if (errors.length > 0) {
    throw new AutovibeError('request.invalid', `The list cannot be kept: ${errors[0]?.message}${errors.length > 1 ? `, and ${errors.length - 1} more` : ''}.`, {
      errors,
      fix,
    })
  }
  return [...rules.values()]
}

function fixOf({ instead }: NoRule, { destination, private: isPrivate }: RuleText): string {
  if (instead === 'as-private') return `Allow it as what it is: ${JSON.stringify({ destination, private: true })}`
  if (instead === 'elsewhere') return 'Let the service listen at an address in a network of your own, and allow that one as private.'
  return isPrivate ? 'Only ADDRESS:PORT can be private, for example 10.0.0.5:5000.' : 'A destination is HOST:PORT, for example registry.npmjs.org:443.'
}
