import assert from 'node:assert/strict'
import { request as httpRequest } from 'node:http'
import { type TestContext, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import Anthropic from '@anthropic-ai/sdk'
import { AutovibeError } from '@autovibe/contract'
import { type ScriptedModel, type ScriptedModelOptions, startScriptedModel } from './index.ts'

const TOOLS: Anthropic.Tool[] = [{ name: 'shell', input_schema: { type: 'object' } }]
const CALL = { model: 'claude-sonnet-5', max_tokens: 4096, messages: [{ role: 'user' as const, content: 'go' }] }
const RAW = { 'content-type': 'application/json', 'anthropic-version': '2023-06-01' }

interface Served {
  readonly model: ScriptedModel
  readonly client: Anthropic
}

async function serve(t: TestContext, text: string, options: Partial<ScriptedModelOptions> = {}, apiKey = 'key-1'): Promise<Served> {
  const model = await startScriptedModel({ script: { name: 'test.yaml', text }, ...options })
  t.after(() => model.close())
  return { model, client: new Anthropic({ baseURL: model.url, apiKey, authToken: null, maxRetries: 0 }) }
}

const TOOL_SCRIPT = `conversations:
  - replies:
      - thinking: One look at the tests tells.
        text: Running them, in the order in which they stand in the folder.
        tools:
          - { name: shell, input: { command: "npm test", env: { A: "é" } } }
          - { name: shell, input: {} }
      - text: Done.
`

test('the official client reads a stream into the same message as a plain answer', async (t) => {
  const { client } = await serve(t, TOOL_SCRIPT)
  const asked = { ...CALL, tools: TOOLS, thinking: { type: 'adaptive' as const } }
  const plain = await client.messages.create(asked)
  const streamed = await client.messages.stream(asked).finalMessage()
  assert.match(plain.id, /^msg_/)
  assert.notEqual(plain.id, streamed.id)
  // The client adds parsed_output to what it assembles itself.
  assert.deepEqual({ ...streamed, id: 'same', parsed_output: null }, { ...plain, id: 'same', parsed_output: null })
  assert.deepEqual(
    plain.content.map(({ type }) => type),
    ['thinking', 'text', 'tool_use', 'tool_use'],
  )
  assert.equal(plain.stop_reason, 'tool_use')
  const [thinking, , call] = plain.content
  assert.ok(thinking?.type === 'thinking' && thinking.thinking.startsWith('One look') && thinking.signature.length > 20)
  assert.ok(call?.type === 'tool_use' && call.id.startsWith('toolu_'))
  assert.deepEqual(call.input, { command: 'npm test', env: { A: 'é' } })
})

test('a stream has the events of the wire in their order, tool inputs in pieces, and figures that only grow', async (t) => {
  const { client } = await serve(t, TOOL_SCRIPT)
  const events: Anthropic.RawMessageStreamEvent[] = []
  for await (const event of await client.messages.create({ ...CALL, tools: TOOLS, stream: true })) events.push(event)
  const types = events.map(({ type }) => type)
  assert.deepEqual([types[0], types.at(-2), types.at(-1)], ['message_start', 'message_delta', 'message_stop'])
  assert.ok(events.filter((event) => event.type === 'content_block_delta' && event.index === 1 && event.delta.type === 'input_json_delta').length > 2)
  const [start, delta] = [events[0], events.at(-2)]
  assert.ok(start?.type === 'message_start' && delta?.type === 'message_delta')
  assert.ok(start.message.usage.cache_creation !== null && start.message.usage.output_tokens <= delta.usage.output_tokens)
  assert.equal(delta.usage.input_tokens, start.message.usage.input_tokens)
})

test('the raw stream carries a ping, an event name on each event and a request id', async (t) => {
  const { model } = await serve(t, TOOL_SCRIPT)
  const body = JSON.stringify({ ...CALL, tools: TOOLS, stream: true, a_field_of_tomorrow: 1 })
  const answer = await fetch(`${model.url}/v1/messages?beta=true`, { method: 'POST', headers: RAW, body })
  assert.match(answer.headers.get('request-id') ?? '', /^req_/)
  assert.match(answer.headers.get('content-type') ?? '', /^text\/event-stream/)
  const chunks = (await answer.text()).trimEnd().split('\n\n')
  for (const chunk of chunks) {
    const [, name, data] = /^event: (\w+)\ndata: (.*)$/.exec(chunk) ?? []
    assert.equal(JSON.parse(data ?? '').type, name)
  }
  assert.ok(chunks.some((chunk) => chunk.startsWith('event: ping\n')))
})

test('thinking is sent to those who ask for it, and as a signature alone when it is to be omitted', async (t) => {
  const { client } = await serve(t, TOOL_SCRIPT)
  const without = await client.messages.create({ ...CALL, tools: TOOLS })
  assert.deepEqual(
    without.content.map(({ type }) => type),
    ['text', 'tool_use', 'tool_use'],
  )
  const { content } = await client.messages.create({ ...CALL, tools: TOOLS, thinking: { type: 'adaptive', display: 'omitted' } })
  assert.ok(content[0]?.type === 'thinking' && content[0].thinking === '' && content[0].signature !== '')
})

test('a conversation goes on by what the client sends back, and the same request gets the same reply again', async (t) => {
  const { client, model } = await serve(t, TOOL_SCRIPT)
  const first = await client.messages.create({ ...CALL, tools: TOOLS })
  const results = first.content.flatMap((block) => (block.type === 'tool_use' ? [{ type: 'tool_result' as const, tool_use_id: block.id, content: 'out' }] : []))
  const next = {
    ...CALL,
    tools: TOOLS,
    messages: [...CALL.messages, { role: 'assistant' as const, content: first.content }, { role: 'user' as const, content: results }],
  }
  const texts: string[] = []
  for (const asked of [next, next, { ...CALL, tools: TOOLS }]) {
    const { content } = await client.messages.create(asked)
    texts.push(content[0]?.type === 'text' ? content[0].text : '')
  }
  assert.deepEqual(texts, ['Done.', 'Done.', 'Running them, in the order in which they stand in the folder.'])
  assert.deepEqual(
    model.calls().map(({ reply, outcome }) => [reply, outcome]),
    [0, 1, 1, 0].map((reply) => [reply, 'answered']),
  )
})

test('errors of the script are what the official client throws, with their headers, as often as they are told to come', async (t) => {
  const { client, model } = await serve(
    t,
    `conversations:
  - replies:
      - error: { status: 529 }
        times: 2
        text: At last.
      - error: { status: 429, message: Slow down, headers: { retry-after: "7", x-should-retry: "false" } }
`,
  )
  for (const stream of [false, true]) {
    await assert.rejects(
      client.messages.create({ ...CALL, stream }),
      (error: unknown) => error instanceof Anthropic.APIError && error.status === 529 && error.type === 'overloaded_error',
    )
  }
  const { content } = await client.messages.create(CALL)
  assert.ok(content[0]?.type === 'text' && content[0].text === 'At last.')
  const next = [...CALL.messages, { role: 'assistant' as const, content: 'x' }, ...CALL.messages]
  await assert.rejects(client.messages.create({ ...CALL, messages: next }), (error: unknown) => {
    assert.ok(error instanceof Anthropic.RateLimitError)
    assert.equal(error.headers.get('retry-after'), '7')
    assert.match(error.requestID ?? '', /^req_/)
    assert.deepEqual(error.error, { type: 'error', error: { type: 'rate_limit_error', message: 'Slow down' }, request_id: error.requestID })
    return true
  })
  assert.deepEqual(
    model.calls().map(({ status, usage }) => [status, usage === null]),
    [
      [529, true],
      [529, true],
      [200, false],
      [429, true],
    ],
  )
})

test('an error after some events is an event of the stream that began with 200', async (t) => {
  const { client } = await serve(t, 'conversations: [{ replies: [{ text: "hello", error: { status: 529, after_events: 3 } , times: 1 }] }]')
  await assert.rejects(
    client.messages.stream(CALL).finalMessage(),
    (error: unknown) => error instanceof Anthropic.APIError && error.type === 'overloaded_error',
  )
  assert.equal((await client.messages.stream(CALL).finalMessage()).stop_reason, 'end_turn')
})

test('a cut destroys the connection after its number of events', async (t) => {
  const { model } = await serve(t, 'conversations: [{ replies: [{ text: "hello hello hello hello hello", cut_after_events: 4 }] }]')
  const answer = await fetch(`${model.url}/v1/messages`, { method: 'POST', headers: RAW, body: JSON.stringify({ ...CALL, stream: true }) })
  let text = ''
  await assert.rejects(async () => {
    for await (const chunk of answer.body ?? []) text += Buffer.from(chunk).toString()
  })
  assert.deepEqual(text.match(/(?<=event: )\w+/g), ['message_start', 'content_block_start', 'ping', 'content_block_delta'])
  assert.equal(model.calls()[0]?.outcome, 'cut')
})

test('only the key of the script opens it, by either header; the provider tells which was wrong', async (t) => {
  const { model, client } = await serve(t, 'api_key: right\nconversations: [{ replies: [{ text: hello }] }]', {}, 'wrong')
  await assert.rejects(
    client.messages.create(CALL),
    (error: unknown) => error instanceof Anthropic.AuthenticationError && error.type === 'authentication_error',
  )
  const right = [new Anthropic({ baseURL: model.url, apiKey: 'right' }), new Anthropic({ baseURL: model.url, apiKey: null, authToken: 'right' })]
  for (const opened of right) assert.equal((await opened.messages.create(CALL)).stop_reason, 'end_turn')
  for (const { headers } of model.calls()) assert.ok(!('x-api-key' in headers) && !('authorization' in headers))
  assert.doesNotMatch(JSON.stringify(model.calls()), /right|wrong/)
})

test('only the models of the script exist, when it lists some', async (t) => {
  const { client } = await serve(t, 'models: [claude-sonnet-5]\nconversations: [{ replies: [{ text: hello }] }]')
  assert.equal((await client.messages.create(CALL)).model, 'claude-sonnet-5')
  await assert.rejects(client.messages.create({ ...CALL, model: 'claude-opus-9' }), Anthropic.NotFoundError)
  assert.deepEqual(
    (await client.models.list()).data.map(({ id }) => id),
    ['claude-sonnet-5'],
  )
})

test('what the script says of a reply is billed, cut at max_tokens', async (t) => {
  const { client } = await serve(
    t,
    'conversations: [{ replies: [{ text: "A rather long sentence that needs more tokens.", usage: { input_tokens: 500, cache_creation: { ephemeral_1h_input_tokens: 30 } } }] }]',
  )
  for (const message of [await client.messages.create({ ...CALL, max_tokens: 5 }), await client.messages.stream({ ...CALL, max_tokens: 5 }).finalMessage()]) {
    assert.deepEqual([message.stop_reason, message.usage.output_tokens, message.usage.input_tokens], ['max_tokens', 5, 500])
    assert.deepEqual([message.usage.cache_creation_input_tokens, message.usage.cache_creation?.ephemeral_1h_input_tokens], [30, 30])
    assert.deepEqual(message.content[0]?.type === 'text' && message.content[0].text, 'A rather long senten')
  }
})

test('count_tokens tells the input that a call is then billed', async (t) => {
  const { client } = await serve(t, 'conversations: [{ replies: [{ text: hello }] }]')
  const { max_tokens: _, ...counted } = CALL
  const { input_tokens } = await client.messages.countTokens(counted)
  assert.equal((await client.messages.create(CALL)).usage.input_tokens, input_tokens)
})

test('the checks of agents before their first call are answered', async (t) => {
  const { model } = await serve(t, 'api_key: k\nconversations: [{ replies: [{ text: hello }] }]')
  for (const path of ['/', '/api/hello']) assert.equal((await fetch(model.url + path, { method: 'HEAD' })).status, 200)
  assert.deepEqual(model.calls(), [])
})

test('a call may be held until a promise is fulfilled', async (t) => {
  const held = Promise.withResolvers<void>()
  const seen = Promise.withResolvers<void>()
  const onCall = (): Promise<void> => {
    seen.resolve()
    return held.promise
  }
  const { client, model } = await serve(t, 'conversations: [{ replies: [{ text: hello }] }]', { onCall })
  const answer = client.messages.create(CALL)
  await seen.promise
  assert.deepEqual(
    model.calls().map(({ outcome, usage }) => [outcome, usage !== null]),
    [['open', true]],
  )
  held.resolve()
  assert.equal((await answer).stop_reason, 'end_turn')
})

for (const stream of [false, true]) {
  test(`a client that leaves before the end of ${stream ? 'a stream' : 'a plain answer'} is noticed`, { timeout: 30_000 }, async (t) => {
    const seen = Promise.withResolvers<void>()
    const { client, model } = await serve(t, 'conversations: [{ replies: [{ text: hello, delay_ms: 60000 }] }]', { onCall: () => seen.resolve() })
    const leaving = new AbortController()
    const answer = client.messages.create({ ...CALL, stream }, { signal: leaving.signal })
    await seen.promise
    leaving.abort()
    await assert.rejects(async () => {
      for await (const _ of (await answer) as AsyncIterable<unknown>) assert.fail('an event')
      throw new Anthropic.APIUserAbortError()
    }, Anthropic.APIUserAbortError)
    while (model.calls()[0]?.outcome === 'open') await setImmediate()
    assert.equal(model.calls()[0]?.outcome, 'abandoned')
  })
}

test('closing ends answers that are still under way', async (t) => {
  const { client, model } = await serve(t, 'conversations: [{ replies: [{ text: hello, delay_ms: 60000 }] }]')
  const stream = client.messages.stream(CALL)
  const failed = assert.rejects(stream.finalMessage(), /terminated|Connection/)
  await stream.withResponse()
  await model.close()
  await failed
})

test('the newest 1,000 calls are kept, a body over 256 KiB by its sizes alone', async (t) => {
  const { model } = await serve(t, 'conversations: [{ replies: [{ text: hello }] }]')
  for (let n = 0; n < 1001; n++)
    await fetch(`${model.url}/v1/messages`, { method: 'POST', headers: RAW, body: JSON.stringify(CALL) }).then((answer) => answer.arrayBuffer())
  assert.deepEqual([model.calls().length, model.calls()[0]?.number], [1000, 1])
  const large = { ...CALL, messages: [{ role: 'user', content: 'x'.repeat(300_000) }] }
  await fetch(`${model.url}/v1/messages`, { method: 'POST', headers: RAW, body: JSON.stringify(large) }).then((answer) => answer.arrayBuffer())
  const newest = model.calls().at(-1)
  assert.deepEqual(newest?.body, { summarised: true, model: CALL.model, max_tokens: 4096, stream: undefined, messages: 1, tools: 0 })
  assert.ok((newest?.body_bytes ?? 0) > 300_000)
})

test('a taken port is told as such', async (t) => {
  const { model } = await serve(t, 'conversations: [{ replies: [{ text: hello }] }]')
  const second = startScriptedModel({ script: { name: 's', text: 'conversations: [{ replies: [{ text: hello }] }]' }, port: model.port })
  await assert.rejects(second, (error: unknown) => error instanceof AutovibeError && error.code === 'hub.port_in_use')
})

test('a body over 32 MiB is refused without being kept', async (t) => {
  const { model } = await serve(t, 'conversations: [{ replies: [{ text: hello }] }]')
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>()
  const post = httpRequest(`${model.url}/v1/messages`, { method: 'POST', headers: RAW }, (response) => resolve(response.resume().statusCode))
  post.on('error', reject)
  post.end(Buffer.alloc(33 * 1024 * 1024, 'x'))
  assert.equal(await promise, 413)
  assert.deepEqual(model.calls(), [])
})
