/**
 * Everything bad that a machine can send, one test each. Elsewhere: a model without a price (refusals.test.ts), a machine's token on the user API
 * (api/roles.test.ts), two settles of one hold (ledger/ledger.test.ts), a client that does not read (slow-reader.test.ts), more calls at once than a
 * machine may make (concurrency.test.ts).
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type IncomingMessage, type RequestOptions, request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { createDoorListener } from '../door/listener.ts'
import { LIMITS } from './limits.ts'
import { ask, refusalOf, USD, type WireError } from './test-calls.ts'
import { messageOf, openTestGateway, sendJson, usageOf } from './testing.ts'

const hub = await openTestGateway()
after(() => hub.closeAll())

const INVALID = { status: 400, type: 'invalid_request_error', code: 'request.invalid', retry: 'false' }
const WIRES = [
  ['/v1/messages', 'anthropic', ask()],
  ['/v1/chat/completions', 'openai', { model: 'gpt-5', messages: [] }],
  ['/v1/responses', 'openai', { model: 'gpt-5', input: 'hi' }],
] as const

describe('a bad body is refused in the form of the wire, and nothing is held', () => {
  const bodies: Record<string, string | Uint8Array<ArrayBuffer>> = {
    nothing: '',
    'JSON that is cut off': JSON.stringify(ask()).slice(0, -1),
    'JSON that goes on after its end': `${JSON.stringify(ask())}{}`,
    'a list': '[]',
    'bytes that are no UTF-8': new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
    'a key twice': '{"model":"claude-opus-5-5","model":"claude-fable-5","max_tokens":1,"messages":[]}',
    'a key in disguise': '{"model":"claude-opus-5-5","max_tokens":1,"messages":[{"role":"user","content":[{"type":"text","\\u0074ype":"container_upload"}]}]}',
    'more levels than any request has': `{"a":${'['.repeat(300)}${']'.repeat(300)}}`,
    'no messages': JSON.stringify(ask({ messages: 'hi' })),
    'a limit of output that is no whole number': JSON.stringify(ask({ max_tokens: 1.5 })),
  }
  for (const [what, body] of Object.entries(bodies)) {
    it(`when it is ${what}`, async () => {
      const machine = await hub.machine(USD)
      const response = await fetch(`${machine.url}/gateway/v1/messages`, { method: 'POST', headers: { 'x-api-key': machine.token }, body })
      assert.deepEqual(await refusalOf(response), INVALID)
      assert.equal((await machine.budget()).reserved, 0n)
    })
  }

  it('when its limit of output is below zero, on every wire', async () => {
    for (const [path, wire, body] of WIRES) {
      const machine = await hub.machine(USD, wire)
      const response = await machine.post(path, { ...body, max_tokens: -1, max_output_tokens: -1 })
      const { error } = (await response.json()) as WireError
      assert.deepEqual([response.status, error.autovibe?.code, response.headers.get('x-should-retry')], [400, 'request.invalid', 'false'], path)
    }
  })

  it('when it says that it is too large, and when it only turns out to be', async () => {
    const machine = await hub.machine(USD)
    const headers = { 'x-api-key': machine.token }
    const said = await begin(`${machine.url}/gateway/v1/messages`, { headers: { ...headers, 'content-length': LIMITS.requestBytes + 1 } }, '{')
    assert.deepEqual([said.statusCode, said.headers['x-should-retry']], [413, 'false'])
    const grown = await begin(`${machine.url}/gateway/v1/messages`, { headers }, Buffer.alloc(LIMITS.requestBytes + 1, ' '))
    assert.deepEqual([grown.statusCode, grown.headers.connection], [413, 'close'])
  })
})

describe('a bad caller', () => {
  it('with the token of a machine that is destroyed is refused, also in the middle of its work', async () => {
    hub.answerWith((_, res) => sendJson(res, messageOf(usageOf(1, 1))))
    const machine = await hub.machine(USD)
    assert.equal((await machine.call(ask())).status, 200)
    const destroyed = { state: 'destroyed', token_hash: null, destroyed_at: new Date() } as const
    await hub.db.updateTable('machines').set(destroyed).where('id', '=', machine.machineId).execute()
    // What is remembered of it is forgotten as soon as the database has told of it.
    const waited = await callUntilRefused(machine)
    assert.deepEqual(await refusalOf(waited), { status: 401, type: 'authentication_error', code: 'auth.missing', retry: 'false' })
  })

  it('with more headers than a request has, or more connections than a machine needs, is turned away at its socket, and the next one is served', async () => {
    hub.answerWith((_, res) => sendJson(res, messageOf(usageOf(1, 1))))
    const machine = await hub.machine(USD)
    const folder = await mkdtemp(join(tmpdir(), 'avgate-'))
    const listener = createDoorListener((machineId, req, res) => void hub.gateway.handle(machineId, req, res))
    const socketPath = join(folder, 'machine.sock')
    await listener.listen(machine.machineId, socketPath)
    const call = (headers: Record<string, string>) =>
      begin('http://machine/gateway/v1/messages', { socketPath, headers: { 'x-api-key': machine.token, ...headers } }, JSON.stringify(ask()))
    assert.equal((await call({ 'anthropic-beta': 'x'.repeat(33 * 1024) })).statusCode, 431)
    const open = Array.from({ length: 65 }, () => connect(socketPath))
    await Promise.race(open.map((socket) => once(socket.resume(), 'close')))
    for (const socket of open) socket.destroy()
    await Promise.all(open.map((socket) => (socket.closed ? null : once(socket, 'close'))))
    assert.equal((await call({})).statusCode, 200)
    await listener.closeAll()
    await rm(folder, { recursive: true })
  })
})

describe('a bill above its hold', () => {
  it('is posted in full, as of an alias that answers as a dearer model, and freezes the budget until somebody raises the limit', async () => {
    hub.answerWith((_, res) => sendJson(res, messageOf(usageOf(100, 1000), { model: 'claude-fable-5' })))
    const machine = await hub.machine(USD)
    await (await machine.call(ask())).json()
    // claude-fable-5: 10 and 50 dollars for a million.
    const billed = 100n * 10_000n + 1000n * 50_000n
    assert.deepEqual(await machine.budget(), { limit: USD, settled: billed, reserved: 0n })
    assert.equal((await machine.usage())[0]?.model, 'claude-fable-5')
    const row = () => hub.db.selectFrom('budgets').select(['frozen_at', 'version']).where('id', '=', machine.budgetId).executeTakeFirstOrThrow()
    assert.ok((await row()).frozen_at)
    const told = await hub.db.selectFrom('events').select('data').where('type', '=', 'budget.changed').orderBy('seq').execute()
    const overruns = told.filter(({ data }) => data['budget_id'] === machine.budgetId && data['change'] === 'overrun')
    assert.equal((overruns[0]?.data['overrun'] as { billed: string } | undefined)?.billed, billed.toString())

    hub.answerWith((_, res) => sendJson(res, messageOf(usageOf(1, 1))))
    assert.deepEqual(await refusalOf(await machine.call(ask())), { status: 402, type: 'billing_error', code: 'budget.exhausted', retry: 'false' })
    assert.equal(hub.seen.length, 0)
    const { version } = await row()
    await hub.db.transaction().execute((tx) => hub.ledger.changeBudget(tx, machine.budgetId, { limit: 2n * USD }, version))
    assert.equal((await machine.call(ask())).status, 200)
    assert.equal((await row()).frozen_at, null)
  })
})

/** Calls again until the answer is no; each call that is answered well has cost something, so that it cannot go on for ever. */
async function callUntilRefused(machine: Awaited<ReturnType<typeof hub.machine>>): Promise<Response> {
  for (;;) {
    const response = await machine.call(ask())
    if (response.status !== 200) return response
    await response.text()
  }
}

/** Sends a request and the beginning of a body, and returns the answer, which may come before the body has ended. */
async function begin(url: string, options: RequestOptions, body: string | Buffer): Promise<IncomingMessage> {
  const sent = request(url, { method: 'POST', ...options })
  // The connection may be closed under what is still being sent; the answer says why.
  sent.on('error', () => undefined)
  if (options.headers && 'content-length' in options.headers) sent.write(body)
  else sent.end(body)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  response.resume()
  return response
}
