/** The vendor's own client of the Anthropic wire, unmodified: it only gets the gateway's address and the machine's token. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import Anthropic, { APIError, BadRequestError, NotFoundError, PaymentRequiredError } from '@anthropic-ai/sdk'
import { USD } from './test-calls.ts'
import { replay } from './test-recorded.ts'
import { openStream, openTestGateway, PROVIDER_KEY, sendJson, startEvent, textEvent, usageOf } from './testing.ts'

const hub = await openTestGateway()
after(() => hub.closeAll())

type Machine = Awaited<ReturnType<typeof hub.machine>>
const clientOf = (machine: Machine, more: object = {}) => new Anthropic({ baseURL: `${machine.url}/gateway`, apiKey: machine.token, ...more })
const question = { model: 'claude-opus-5-5', max_tokens: 4_000, messages: [{ role: 'user', content: 'Fix it' }] } satisfies Anthropic.MessageCreateParams
const TOOL = {
  name: 'read_file',
  description: 'Reads a file',
  input_schema: { type: 'object', properties: { path: { type: 'string' } } },
} satisfies Anthropic.Tool

describe('the Anthropic client', () => {
  it('gets a message, by key and by bearer, and sees what the provider answered', async () => {
    const machine = await hub.machine(USD)
    for (const client of [clientOf(machine), clientOf(machine, { apiKey: null, authToken: machine.token })]) {
      hub.answerWith(replay('messages.json'))
      const message = await client.messages.create({ ...question, thinking: { type: 'adaptive' } })
      assert.deepEqual(
        message.content.map(({ type }) => type),
        ['thinking', 'text'],
      )
      assert.deepEqual([message.stop_reason, message.usage.output_tokens], ['end_turn', 503])
      assert.equal(message._request_id, 'req_011CVxQ7ZkW4tPnHsYbR9mLd')
      const [seen] = hub.seen
      assert.ok(seen)
      assert.equal(seen.headers['x-api-key'], PROVIDER_KEY)
      assert.equal(seen.headers.authorization, undefined)
    }
    assert.equal((await machine.usage()).length, 2)
  })

  it('puts a stream together to the whole message: thinking with its signature, text, and the input of a tool', async () => {
    hub.answerWith(replay('messages-thinking-tool.sse', 'in pieces of 97 bytes, through letters and line breaks'))
    const machine = await hub.machine(USD)
    const stream = clientOf(machine).messages.stream({ ...question, tools: [TOOL], thinking: { type: 'enabled', budget_tokens: 1_024 } })
    const texts: string[] = []
    stream.on('text', (text) => texts.push(text))
    const message = await stream.finalMessage()
    const [thinking, text, tool] = message.content
    assert.ok(thinking?.type === 'thinking' && thinking.thinking.includes('Größe') && thinking.signature.length > 100)
    assert.ok(text?.type === 'text' && text.text === texts.join('') && text.text.endsWith('一つずつ。'))
    assert.ok(tool?.type === 'tool_use')
    assert.deepEqual(tool.input, { path: 'src/greet.ts', note: 'über\n' })
    assert.deepEqual([message.stop_reason, message.usage.output_tokens, message.usage.cache_read_input_tokens], ['tool_use', 617, 18_204])
    await machine.settled()
    assert.equal((await machine.usage())[0]?.quality, 'measured')
  })

  it('iterates over the raw events of a stream, one by one', async () => {
    hub.answerWith(replay('messages-thinking-tool.sse', 'byte by byte'))
    const machine = await hub.machine(USD)
    const types = new Set<string>()
    for await (const event of await clientOf(machine).messages.create({ ...question, stream: true })) types.add(event.type)
    assert.deepEqual([...types], ['message_start', 'content_block_start', 'content_block_delta', 'content_block_stop', 'message_delta', 'message_stop'])
  })

  it('sends the results of tools back, and asks for beta features with their query and header', async () => {
    hub.answerWith(replay('messages.json'))
    const machine = await hub.machine(USD)
    const message = await clientOf(machine).beta.messages.create({
      ...question,
      betas: ['context-management-2025-06-27'],
      context_management: { edits: [{ type: 'clear_thinking_20251015', keep: 'all' }] },
      tools: [TOOL],
      messages: [
        { role: 'user', content: 'Fix it' },
        { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_1', name: 'read_file', input: { path: 'a' } }] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: 'text', cache_control: { type: 'ephemeral' } }] },
      ],
    })
    assert.equal(message.id, 'msg_01RkT5vWzYq3LnXb7HsPcJdM')
    await clientOf(machine).messages.create(question, { query: { beta: 'true' } })
    assert.deepEqual(
      hub.seen.map(({ url, headers }) => [url, headers['anthropic-beta']]),
      [
        ['/v1/messages', 'context-management-2025-06-27'],
        ['/v1/messages?beta=true', undefined],
      ],
    )
  })

  it('counts tokens, plainly and as a beta, free of charge', async () => {
    hub.answerWith(replay('count-tokens.json'))
    const machine = await hub.machine(USD)
    const { max_tokens: _, ...counted } = question
    assert.equal((await clientOf(machine).messages.countTokens({ ...counted, tools: [TOOL] })).input_tokens, 2_095)
    assert.equal((await clientOf(machine).beta.messages.countTokens(counted, { query: { beta: 'true' } })).input_tokens, 2_095)
    assert.deepEqual(
      hub.seen.map(({ url }) => url),
      ['/v1/messages/count_tokens', '/v1/messages/count_tokens?beta=true'],
    )
    assert.deepEqual(await machine.usage(), [])
  })
})

interface Refusal {
  readonly what: string
  readonly limit?: bigint
  readonly body?: object
  readonly client?: object
  readonly status: number
  readonly type: string
  readonly error: new (...args: never) => Error
}
const refusals: readonly Refusal[] = [
  { what: 'a budget that is used up', limit: 1n, status: 402, type: 'billing_error', error: PaymentRequiredError },
  { what: 'a model without a price', body: { model: 'claude-sonnet-5-5' }, status: 404, type: 'not_found_error', error: NotFoundError },
  { what: 'a limit of output below zero', body: { max_tokens: -1 }, status: 400, type: 'invalid_request_error', error: BadRequestError },
  { what: 'broken JSON', client: { fetch: cutBody }, status: 400, type: 'invalid_request_error', error: BadRequestError },
]

describe('a refusal throws in the Anthropic client at once, with the words of the gateway, and is not tried again', () => {
  for (const { what, limit = USD, body = {}, client = {}, status, type, error } of refusals) {
    it(`throws at once for ${what}`, async () => {
      hub.answerWith(replay('messages.json'))
      const machine = await hub.machine(limit)
      const anthropic = clientOf(machine, client)
      const isRefused = (thrown: unknown) => {
        assert.ok(thrown instanceof APIError && thrown instanceof error)
        assert.deepEqual([thrown.status, thrown.type], [status, type])
        assert.match(thrown.apiMessage ?? '', /^autovibe: /)
        return true
      }
      await assert.rejects(anthropic.messages.create({ ...question, ...body }), isRefused)
      assert.equal(machine.knocks(), 1)
      await assert.rejects(anthropic.messages.stream({ ...question, ...body }).finalMessage(), isRefused)
      assert.equal(machine.knocks(), 2)
      assert.equal(hub.seen.length, 0)
    })
  }
})

describe('trouble of the provider, as the Anthropic client sees it', () => {
  it('is tried again when the provider says so, and only what was answered is charged', async () => {
    let busy = 2
    hub.answerWith((seen, res) => {
      if (busy-- > 0) return sendJson(res, { type: 'error', error: { type: 'overloaded_error', message: 'busy' } }, 529, { 'retry-after-ms': '1' })
      return replay('messages.json')(seen, res)
    })
    const machine = await hub.machine(USD)
    assert.equal((await clientOf(machine).messages.create(question)).usage.output_tokens, 503)
    assert.deepEqual([machine.knocks(), (await machine.usage()).length], [3, 1])
    assert.equal((await machine.budget()).reserved, 0n)
  })

  it('is an error, and not a short answer, when a stream breaks off in the middle of an event', async () => {
    hub.answerWith((_, res) => {
      openStream(res).write(startEvent(usageOf(100, 1)))
      res.write(textEvent('half').slice(0, 40), () => res.destroy())
    })
    const machine = await hub.machine(USD)
    const broken = clientOf(machine).messages.stream(question).finalMessage()
    await assert.rejects(
      broken,
      (thrown) => thrown instanceof APIError && thrown.type === 'api_error' && /autovibe: The provider anthropic/.test(thrown.message),
    )
    assert.equal(machine.knocks(), 1)
  })
})

/** Sends all of a request but its last character. */
function cutBody(url: string | URL | Request, init: RequestInit = {}): Promise<Response> {
  return fetch(url, { ...init, body: String(init.body).slice(0, -1) })
}
