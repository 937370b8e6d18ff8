/** The vendor's own client of the OpenAI wires, unmodified: it only gets the gateway's address and the machine's token. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import OpenAI, { APIError, BadRequestError, NotFoundError } from 'openai'
import { USD } from './test-calls.ts'
import { replay, type SPLITS } from './test-recorded.ts'
import { openStream, openTestGateway, PROVIDER_KEY, sendJson } from './testing.ts'

const hub = await openTestGateway()
after(() => hub.closeAll())

type Machine = Awaited<ReturnType<typeof hub.machine>>
const clientOf = (machine: Machine, more: object = {}) => new OpenAI({ baseURL: `${machine.url}/gateway/v1`, apiKey: machine.token, ...more })
const question = { model: 'gpt-5', max_completion_tokens: 4_000, messages: [{ role: 'user', content: 'Fix it' }] } satisfies OpenAI.ChatCompletionCreateParams
const asked = { model: 'gpt-6-sol', max_output_tokens: 4_000, input: 'Fix it', store: false } satisfies OpenAI.Responses.ResponseCreateParams
const CUT: keyof typeof SPLITS = 'in pieces of 97 bytes, through letters and line breaks'
const PARAMETERS = { type: 'object', properties: { path: { type: 'string' } } }
const TOOL = { type: 'function', function: { name: 'read_file', parameters: PARAMETERS } } satisfies OpenAI.ChatCompletionTool

describe('the OpenAI client, asking for completions', () => {
  it('gets two choices of one completion, with the usage of both', async () => {
    hub.answerWith(replay('chat.json'))
    const machine = await hub.machine(USD, 'openai')
    const completion = await clientOf(machine).chat.completions.create({ ...question, model: 'gpt-5-mini', n: 2 })
    assert.deepEqual(
      completion.choices.map(({ message }) => message.content),
      ['Ja – ✅', 'Nein'],
    )
    assert.deepEqual([completion.usage?.total_tokens, completion._request_id], [71, 'req_7d3a91c0be'])
    const [seen] = hub.seen
    assert.ok(seen)
    assert.deepEqual([seen.url, seen.headers.authorization], ['/v1/chat/completions', `Bearer ${PROVIDER_KEY}`])
    assert.ok(!JSON.stringify(seen).includes(machine.token))
    assert.equal((await machine.usage()).length, 1)
  })

  it('sees no usage in a stream for which it did not ask for it, in one choice or in two', async () => {
    for (const [answer, more] of [
      ['chat-tools.sse', {}],
      ['chat-two-choices.sse', { model: 'gpt-5-mini', n: 2, stream_options: { include_obfuscation: true } }],
    ] as const) {
      hub.answerWith(replay(answer, CUT))
      const machine = await hub.machine(USD, 'openai')
      let chunks = 0
      for await (const chunk of await clientOf(machine).chat.completions.create({ ...question, ...more, stream: true })) {
        chunks++
        assert.ok(!('usage' in chunk) && chunk.choices.length === 1)
      }
      assert.ok(chunks > 7)
      // It is there all the same.
      assert.deepEqual(hub.seen[0]?.body['stream_options'], { ...('stream_options' in more ? more.stream_options : {}), include_usage: true })
      await machine.settled()
      assert.equal((await machine.usage())[0]?.quality, 'measured')
    }
  })

  it('sees the usage in a stream for which it asked for it, in a chunk of its own', async () => {
    hub.answerWith(replay('chat-tools.sse', CUT))
    const machine = await hub.machine(USD, 'openai')
    const usage: unknown[] = []
    for await (const chunk of await clientOf(machine).chat.completions.create({ ...question, stream: true, stream_options: { include_usage: true } })) {
      usage.push(chunk.usage?.total_tokens ?? null)
      assert.equal(chunk.choices.length, chunk.usage ? 0 : 1)
    }
    assert.equal(usage.at(-1), 1_751)
    assert.ok(usage.slice(0, -1).every((figure) => figure === null))
  })

  it('puts a stream together to the whole completion with its tool calls, and sends the results of tools back', async () => {
    hub.answerWith(replay('chat-tools.sse', 'byte by byte'))
    const machine = await hub.machine(USD, 'openai')
    const client = clientOf(machine)
    const completion = await client.chat.completions.stream({ ...question, tools: [TOOL] }).finalChatCompletion()
    const message = completion.choices[0]?.message
    assert.ok(message?.content)
    assert.ok(message.content.startsWith('Größe: the chunk says ,"usage":null 🚀'))
    const calls = (message.tool_calls ?? []).map((call) => (call.type === 'function' ? [call.function.name, call.function.arguments] : []))
    assert.deepEqual(calls, [
      ['read_file', '{"path":"src/greet.ts"}'],
      ['run', '{"command":"npm test"}'],
    ])
    hub.answerWith(replay('chat.json'))
    const results = (message.tool_calls ?? []).map(({ id }) => ({ role: 'tool' as const, tool_call_id: id, content: 'done' }))
    const { role, content, tool_calls } = message
    const spoken: OpenAI.ChatCompletionMessageParam[] = [{ role, content, ...(tool_calls ? { tool_calls } : {}) }]
    const next = await client.chat.completions.create({ ...question, tools: [TOOL], messages: [...question.messages, ...spoken, ...results] })
    assert.equal(next.choices[0]?.message.content, 'Ja – ✅')
    await machine.settled()
    assert.equal((await machine.usage()).length, 2)
  })
})

describe('the OpenAI client, asking for responses', () => {
  it('gets a response with its text and its tool call', async () => {
    hub.answerWith(replay('response.json'))
    const machine = await hub.machine(USD, 'openai')
    const response = await clientOf(machine).responses.create({
      ...asked,
      tools: [{ type: 'function', name: 'read_file', parameters: PARAMETERS, strict: true }],
    })
    assert.match(response.output_text, /^Ich lese zuerst „greet.ts“/)
    assert.deepEqual(
      response.output.map(({ type }) => type),
      ['message', 'function_call'],
    )
    assert.deepEqual([response.usage?.total_tokens, hub.seen[0]?.url], [2_654, '/v1/responses'])
  })

  it('puts a stream together to the whole response: reasoning, text and the arguments of a tool', async () => {
    hub.answerWith(replay('responses-reasoning-tool.sse', 'byte by byte'))
    const machine = await hub.machine(USD, 'openai')
    const response = await clientOf(machine).responses.stream(asked).finalResponse()
    assert.deepEqual(
      response.output.map(({ type }) => type),
      ['reasoning', 'message', 'function_call'],
    )
    assert.deepEqual([response.status, response.usage?.input_tokens_details.cached_tokens], ['completed', 1_280])
    await machine.settled()
    assert.equal((await machine.usage())[0]?.quality, 'measured')
  })

  it('iterates over the events of a stream in their order, to an end at the limit too', async () => {
    hub.answerWith(replay('responses-incomplete.sse', CUT))
    const machine = await hub.machine(USD, 'openai')
    const seen: (string | number)[] = []
    for await (const event of await clientOf(machine).responses.create({ ...asked, stream: true })) seen.push(event.sequence_number, event.type)
    assert.deepEqual(
      [seen.slice(0, 2), seen.slice(-2)],
      [
        [0, 'response.created'],
        [8, 'response.incomplete'],
      ],
    )
  })
})

interface Refusal {
  readonly what: string
  readonly limit?: bigint
  readonly body?: object
  readonly client?: object
  readonly status: number
  readonly code: string | null
  readonly error: new (...args: never) => Error
}
const refusals: readonly Refusal[] = [
  { what: 'a budget that is used up', limit: 1n, status: 402, code: 'insufficient_quota', error: APIError },
  { what: 'a model without a price', body: { model: 'gpt-9' }, status: 404, code: 'model_not_found', error: NotFoundError },
  { what: 'a limit of output below zero', body: { max_completion_tokens: -1, max_output_tokens: -1 }, status: 400, code: null, error: BadRequestError },
  { what: 'broken JSON', client: { fetch: cutBody }, status: 400, code: null, error: BadRequestError },
]

describe('a refusal throws in the OpenAI client at once, with the words of the gateway, and is not tried again', () => {
  for (const { what, limit = USD, body = {}, client = {}, status, code, error } of refusals) {
    it(`throws at once for ${what}`, async () => {
      hub.answerWith(replay('chat.json'))
      const machine = await hub.machine(limit, 'openai')
      const { chat, responses } = clientOf(machine, client)
      const calls = [
        () => chat.completions.create({ ...question, ...body }),
        () => chat.completions.create({ ...question, ...body, stream: true }),
        () => responses.create({ ...asked, ...body }),
        () => responses.create({ ...asked, ...body, stream: true }),
      ]
      for (const [index, call] of calls.entries()) {
        await assert.rejects(call, (thrown) => {
          assert.ok(thrown instanceof APIError && thrown instanceof error)
          assert.deepEqual([thrown.status, thrown.code], [status, code])
          assert.match(thrown.message, /autovibe: /)
          return true
        })
        assert.equal(machine.knocks(), index + 1)
      }
      assert.equal(hub.seen.length, 0)
    })
  }
})

describe('trouble of the provider, as the OpenAI client sees it', () => {
  it('is tried again when the provider says so, and only what was answered is charged', async () => {
    let busy = 2
    hub.answerWith((seen, res) => {
      if (busy-- > 0) return sendJson(res, { error: { message: 'busy', type: 'requests', code: 'rate_limit_exceeded' } }, 429, { 'retry-after-ms': '1' })
      return replay('chat.json')(seen, res)
    })
    const machine = await hub.machine(USD, 'openai')
    assert.equal((await clientOf(machine).chat.completions.create(question)).usage?.total_tokens, 71)
    assert.deepEqual([machine.knocks(), (await machine.usage()).length], [3, 1])
    assert.equal((await machine.budget()).reserved, 0n)
  })

  it('is an error, and not a short answer, when a stream breaks off in the middle of an event', async () => {
    hub.answerWith((_, res) => void openStream(res).write('data: {"type":"response.created","id":"half', () => res.destroy()))
    const machine = await hub.machine(USD, 'openai')
    const { chat, responses } = clientOf(machine)
    const isBroken = (thrown: unknown) => thrown instanceof APIError && thrown.code === 'server_error' && /The provider openai/.test(thrown.message)
    await assert.rejects(async () => read(await chat.completions.create({ ...question, stream: true })), isBroken)
    await assert.rejects(async () => read(await responses.create({ ...asked, stream: true })), isBroken)
    assert.deepEqual([machine.knocks(), (await machine.usage()).map(({ quality }) => quality)], [2, ['estimated', 'estimated']])
  })
})

async function read(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream);
}

/** Sends all of a request but its last character. */
function cutBody(url: string | URL | Request, init: RequestInit = {}): Promise<Response> {
  return fetch(url, { ...init, body: String(init.body).slice(0, -1) })
}
