/** Who may call what: the one table of routes and the least role that each asks for. A route that is not in it cannot be registered. */
import type { Role } from '@autovibe/contract'

/** `public` asks for no key at all. */
export type Access = 'public' | Role

export const ROUTES = {
  'GET /v1/health': 'public',
  'GET /v1/openapi.json': 'public',
  'GET /v1/hub': 'user',
  'GET /metrics': 'user',

  'POST /v1/projects': 'user',
  'GET /v1/projects': 'user',
  'GET /v1/projects/:project': 'user',
  'PUT /v1/projects/:project/source': 'user',
  'GET /v1/projects/:project/settings': 'user',
  'GET /v1/projects/:project/limits/proposal': 'user',
  'PUT /v1/projects/:project/models': 'admin',
  'PUT /v1/projects/:project/limits': 'admin',
  'PUT /v1/projects/:project/egress': 'admin',
  'PUT /v1/projects/:project/retention': 'admin',
  'PUT /v1/projects/:project/triggers': 'admin',
  'POST /v1/projects/:project/retention': 'admin',
  'GET /v1/projects/:project/storage': 'user',
  'PUT /v1/projects/:project/prices/:provider/:model': 'admin',
  'DELETE /v1/projects/:project/prices/:provider/:model': 'admin',
  'PUT /v1/projects/:project/keys/:provider': 'admin',
  'DELETE /v1/projects/:project/keys/:provider': 'admin',

  'GET /v1/machines': 'user',
  'GET /v1/machines/:machine': 'user',
  'GET /v1/machines/:machine/wait': 'user',
  'PUT /v1/machines/:machine/limits': 'user',
  'POST /v1/machines/:machine/stop': 'user',
  'POST /v1/machines/:machine/start': 'user',
  'POST /v1/machines/:machine/destroy': 'user',
  'GET /v1/machines/:machine/rollback': 'user',
  'POST /v1/machines/:machine/rollback': 'user',
  'POST /v1/machines/:machine/checkpoints': 'user',
  'POST /v1/machines/:machine/archives': 'user',
  'GET /v1/archives': 'user',
  'GET /v1/archives/:archive': 'user',
  'POST /v1/archives/:archive/remove': 'user',
  'POST /v1/machines/:machine/exec': 'user',
  'GET /v1/exec/:exec': 'user',

  'POST /v1/runs': 'user',
  'GET /v1/runs': 'user',
  'GET /v1/runs/:run': 'user',
  'GET /v1/runs/:run/wait': 'user',
  'GET /v1/runs/:run/steps': 'user',
  'POST /v1/runs/:run/cancel': 'user',
  'POST /v1/runs/:run/resume': 'user',

  'POST /v1/projects/:project/checkpoints': 'user',
  'GET /v1/checkpoints': 'user',
  'GET /v1/checkpoints/:checkpoint': 'user',
  'GET /v1/checkpoints/:checkpoint/wait': 'user',
  'GET /v1/checkpoints/:checkpoint/diff': 'user',
  'GET /v1/checkpoints/:checkpoint/content': 'user',
  'GET /v1/checkpoints/:checkpoint/archive': 'user',
  'POST /v1/checkpoints/:checkpoint/fork': 'user',
  'POST /v1/checkpoints/:checkpoint/pin': 'user',
  'POST /v1/checkpoints/:checkpoint/unpin': 'user',
  'POST /v1/checkpoints/:checkpoint/verify': 'user',

  'POST /v1/budgets': 'admin',
  'GET /v1/budgets': 'user',
  'GET /v1/budgets/:budget': 'user',
  'PATCH /v1/budgets/:budget': 'admin',
  'GET /v1/budgets/:budget/ledger': 'user',
  'POST /v1/budgets/audit': 'admin',

  'GET /v1/usage-events': 'user',
  'GET /v1/events': 'user',

  'GET /v1/operations': 'user',
  'GET /v1/operations/:operation': 'user',
  'GET /v1/operations/:operation/wait': 'user',
  'POST /v1/operations/:operation/cancel': 'user',
  'POST /v1/operations/:operation/retry': 'admin',

  'GET /v1/providers': 'user',
  'GET /v1/providers/:provider': 'user',
  'GET /v1/providers/:provider/reach': 'user',
  'PUT /v1/providers/:provider': 'admin',
  'DELETE /v1/providers/:provider': 'admin',
  'DELETE /v1/providers/:provider/key': 'admin',

  'GET /v1/substrates': 'user',
  'POST /v1/substrates': 'admin',
  'POST /v1/substrates/certificate': 'admin',
  'POST /v1/substrates/grants': 'user',
  'GET /v1/substrates/:substrate': 'user',
  'PATCH /v1/substrates/:substrate': 'admin',
  'DELETE /v1/substrates/:substrate': 'admin',
  'POST /v1/substrates/:substrate/probe': 'admin',
  'POST /v1/substrates/:substrate/use': 'admin',
  'POST /v1/substrates/:substrate/template': 'admin',
  'POST /v1/substrates/:substrate/template/grants': 'user',

  'POST /v1/api-keys': 'admin',
  'GET /v1/api-keys': 'admin',
  'DELETE /v1/api-keys/:key': 'admin',

  'GET /v1/agents': 'user',
  'POST /v1/agents/:agent/install': 'admin',
} as const satisfies Record<string, Access>

export type Route = keyof typeof ROUTES

/** The access of a route by method and pattern; undefined for one that is not in the table. */
export function accessOf(method: string, pattern: string): Access | undefined {
  const route = `${method} ${pattern}`
  return Object.hasOwn(ROUTES, route) ? ROUTES[route as Route] : undefined
}

/** `unknown`: no living key was shown. */
export function judge(access: Access, role: Role | undefined): 'allowed' | 'unknown' | 'forbidden' {
  if (access === 'public') return 'allowed'
  if (role === undefined) return 'unknown'
  return role === 'admin' || access === 'user' ? 'allowed' : 'forbidden'
}
