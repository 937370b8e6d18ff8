/** How fast the API answers what a console asks all the time, with 1,000 machines in the table. */
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { encodeId } from '@autovibe/core/ids.ts'
import { type HubProcess, startHubProcess } from '../../test/support/hub-process.ts'
import { startFixedServer } from '../support/fixed-server.ts'
import { load } from '../support/load.ts'
import { type BenchOptions, type Figure, figure, type Measured, type Target, targetBelow } from '../support/report.ts'

const MACHINES = 1000

export async function measure({ quick, progress }: BenchOptions): Promise<Measured> {
  await using ending = new AsyncDisposableStack()
  const hub = ending.adopt(await startHubProcess(), (each) => each.remove())
  const { url } = JSON.parse(await readFile(join(hub.dataDir, 'hub.json'), 'utf8')) as { url: string }
  const key = (await readFile(join(hub.dataDir, 'api-key'), 'utf8')).trim()
  await fill(hub)

  const figures: Figure[] = []
  const targets: Target[] = []
  for (const [path, crowds, belowMs] of [
    ['/v1/machines', [1, 16], 5],
    ['/v1/machines?limit=1000', [1], null],
    ['/v1/health', [1, 16], null],
  ] as const) {
    progress(`GET ${path}`)
    const headers = { authorization: `Bearer ${key}` }
    const text = await (await fetch(`${url}${path}`, { headers })).text()
    await using same = ending.use(await startFixedServer({ '*': { contentType: 'application/json', pieces: [text] } }))
    const at = (port: string | number) => ({ host: '127.0.0.1', port, path, headers })
    for (const connections of crowds) {
      const requests = (quick ? 300 : 2000) * (connections === 1 ? 1 : 2)
      const ask = async (port: string | number, count: number) => (await load({ to: () => at(port), connections, requests: count })).answers.map(({ ms }) => ms)
      const port = new URL(url).port
      await ask(port, 100)
      await ask(same.port, 100)
      const crowd = connections === 1 ? 'one after another' : `${connections} at once`
      const bare = figure(`bare node:http, ${Buffer.byteLength(text)} bytes, ${crowd}`, await ask(same.port, requests))
      const ours = figure(`GET ${path}, ${crowd}`, await ask(port, requests), { beside: bare })
      figures.push(bare, ours)
      if (belowMs !== null && connections === 1) targets.push(targetBelow(`GET ${path} with ${MACHINES} machines in the table`, ours, belowMs))
    }
  }
  return {
    figures,
    targets,
    notes: [
      'Keep-alive connections from one client process; the bare server runs on a thread of that process, the Hub in its own, its database beside it.',
      `${MACHINES} stopped machines, each with its open budget; a page holds 100 unless asked otherwise.`,
    ],
  }
}

/** Stopped machines are nobody's to put right, so the sweep leaves these rows alone. */
async function fill(hub: HubProcess): Promise<void> {
  const project = await hub.client.projects.create({ name: 'many' })
  const ids = (kind: 'machine' | 'budget') => Array.from({ length: MACHINES }, (_, index) => encodeId(kind, Date.now() - index * 1000, randomBytes(10)))
  await hub.query(
    `with made as (
       insert into machines (id, name, project_id, state, substrate, isolation, copy_tier, created_at, last_heartbeat_at)
       select id, 'machine-' || nr, $3, 'stopped', 'local', 'I3', 'C3', now(), now() from unnest($1::text[]) with ordinality as t (id, nr)
     )
     insert into budgets (id, scope, scope_id, resource, "limit", created_at)
     select budget, 'machine', machine, 'money', 1000000000, now() from unnest($1::text[], $2::text[]) as t (machine, budget)`,
    [ids('machine'), ids('budget'), project.id],
  )
  await hub.query('analyze')
}
