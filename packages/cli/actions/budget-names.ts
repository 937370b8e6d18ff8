/** What people call the scopes of budgets. */
import type { Autovibe, CallOptions } from '@autovibe/sdk'

/** Of more, the newest are known by name and the others by their ids. */
const NAMED_MAX = 1000

/** Projects and machines by their names, runs by what they were asked for; of very many, the newest. */
export async function namesOf(client: Autovibe, options: CallOptions): Promise<Map<string, string>> {
  const [projects, machines, runs] = await Promise.all([
    client.projects.list(options).take(10 * NAMED_MAX),
    client.machines.list({ all: true, limit: NAMED_MAX }, options).take(NAMED_MAX),
    client.runs.list({ limit: NAMED_MAX }, options).take(NAMED_MAX),
  ])
  return new Map([...[...projects, ...machines].map(({ id, name }) => [id, name] as const), ...runs.map(({ id, prompt }) => [id, prompt] as const)])
}
