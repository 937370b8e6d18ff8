/** What a project sets for itself, as its machines meet it: at once, although the gateway remembers its callers. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { ask, INPUT, OUTPUT, refusalOf, USD } from './test-calls.ts'
import { messageOf, openTestGateway, PROVIDER_KEY, sendJson, usageOf } from './testing.ts'

const hub = await openTestGateway()
after(() => hub.closeAll())
hub.answerWith((_, res) => sendJson(res, messageOf(usageOf(100, 50), { model: 'claude-opus-5-5' })))

type Machine = Awaited<ReturnType<typeof hub.machine>>
const LISTED = 100n * INPUT + 50n * OUTPUT
/** What a call costs; asked until the change has reached the gateway. */
async function untilCalls(machine: Machine, body: unknown, isSo: (response: Response) => boolean): Promise<Response> {
  for (let tries = 0; tries < 1_000; tries++) {
    const response = await machine.call(body)
    if (isSo(response)) return response
    await response.text()
  }
  throw new Error('the change never reached the gateway')
}
const price = (machine: Machine, output: bigint, model = 'claude-opus-5-5') => ({
  project_id: machine.projectId,
  provider: 'anthropic',
  model,
  context_window_tokens: 200_000n,
  input: 1_000_000n,
  cache_read: 0n,
  cache_write_5m: 0n,
  cache_write_1h: 0n,
  output,
  updated_at: new Date('2026-11-23T10:00:00Z'),
})

describe('the settings of a project', () => {
  it('keep its machines to the models that it allows, from the next moment on, and no other project', async () => {
    const machine = await hub.machine(10n * USD)
    const other = await hub.machine(USD)
    assert.equal((await machine.call(ask())).status, 200)
    await hub.db
      .updateTable('projects')
      .set({ allowed_models: ['claude-haiku-5'] })
      .where('id', '=', machine.projectId)
      .execute()
    const refused = await untilCalls(machine, ask(), ({ status }) => status !== 200)
    assert.deepEqual(await refusalOf(refused), { status: 403, type: 'permission_error', code: 'model.not_allowed', retry: 'false' })
    const counted = await machine.post('/v1/messages/count_tokens', { model: 'claude-opus-5-5', messages: [] })
    assert.equal((await refusalOf(counted)).code, 'model.not_allowed')
    assert.match(String((await machine.events('gateway.call_refused'))[0]?.['fix']), /claude-haiku-5/)
    assert.equal((await other.call(ask())).status, 200)
    await hub.db.updateTable('projects').set({ allowed_models: null }).where('id', '=', machine.projectId).execute()
    await untilCalls(machine, ask(), ({ status }) => status === 200)
  })

  it('make its own price that of the bound and of the charge, marked in the version, until it is taken back', async () => {
    const machine = await hub.machine(10n * USD)
    const costOf = (response: Response) => BigInt(response.headers.get('autovibe-cost') ?? -1)
    assert.equal(costOf(await machine.call(ask())), LISTED)
    await hub.db.insertInto('project_prices').values(price(machine, 2_000_000n)).execute()
    await untilCalls(machine, ask(), (response) => costOf(response) === 100n * 1_000n + 50n * 2_000n)
    const last = (await machine.usage()).at(-1)
    assert.match(last?.price_version ?? '', new RegExp(`^anthropic-.*\\+${machine.projectId}@2026-11-23T10:00:00\\.000Z$`))
    // By the list it would have to hold more than two cents.
    assert.ok(BigInt((last?.detail as { held?: string } | undefined)?.held ?? 0) < 5_000_000n)
    await hub.db.deleteFrom('project_prices').where('project_id', '=', machine.projectId).execute()
    await untilCalls(machine, ask(), (response) => costOf(response) === LISTED)
    assert.doesNotMatch((await machine.usage()).at(-1)?.price_version ?? '', /prj_/)
  })

  it('give a price to a model that nobody lists', async () => {
    const machine = await hub.machine(10n * USD)
    assert.equal((await refusalOf(await machine.call(ask({ model: 'our-own' })))).code, 'model.unpriced')
    await hub.db
      .insertInto('project_prices')
      .values(price(machine, 3_000_000n, 'our-own'))
      .execute()
    await untilCalls(machine, ask({ model: 'our-own' }), ({ status }) => status === 200)
  })

  it("make its calls with its own key instead of the Hub's, and with none when the provider has moved", async () => {
    const machine = await hub.machine(10n * USD)
    await (await machine.call(ask())).text()
    assert.equal(hub.seen.at(-1)?.headers['x-api-key'], PROVIDER_KEY)
    const { origin } = new URL(hub.upstreamUrl)
    const key = { project_id: machine.projectId, provider: 'anthropic', origin, key_sealed: Buffer.from('sk-of-the-project'), updated_at: new Date() }
    await hub.db.insertInto('project_provider_keys').values(key).execute()
    await untilCalls(machine, ask(), () => hub.seen.at(-1)?.headers['x-api-key'] === 'sk-of-the-project')
    await hub.db.updateTable('project_provider_keys').set({ origin: 'https://elsewhere.example' }).where('project_id', '=', machine.projectId).execute()
    const refused = await untilCalls(machine, ask(), ({ status }) => status !== 200)
    assert.deepEqual(await refusalOf(refused), { status: 403, type: 'permission_error', code: 'provider.key_missing', retry: 'false' })
    await hub.db.deleteFrom('project_provider_keys').where('project_id', '=', machine.projectId).execute()
    await untilCalls(machine, ask(), () => hub.seen.at(-1)?.headers['x-api-key'] === PROVIDER_KEY)
  })
})
