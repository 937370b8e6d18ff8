/** What requests on the OpenAI wires say about their money: real ones are read, unbounded ones named, broken ones refused. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { readChatRequest } from './openai-chat.ts'
import { readResponsesRequest } from './openai-responses.ts'

type Body = Record<string, unknown>
const bytesOf = (body: unknown) => Buffer.byteLength(JSON.stringify(body))
const chat = (more: Body = {}) => {
  const body = { model: 'gpt-5', messages: [{ role: 'user', content: 'hi' }], ...more }
  return readChatRequest(body, bytesOf(body))
}
const responses = (more: Body = {}) => {
  const body = { model: 'gpt-5', input: 'hi', ...more }
  return readResponsesRequest(body, bytesOf(body))
}
const verdict = (read: ReturnType<typeof chat>) => (read.kind === 'unbounded' ? read.field : read.kind)
function factsOf(read: ReturnType<typeof chat>) {
  assert.ok(read.kind === 'ok', verdict(read))
  return read.facts
}
const PNG = `data:image/png;base64,${'A'.repeat(100_000)}`
const said = (content: unknown) => ({ messages: [{ role: 'user', content }] })
const put = (...items: unknown[]) => ({ input: items })

describe('a Chat Completions request', () => {
  it('as an agent sends it is read: tools, a second round, schemas, a limit under either name', () => {
    const facts = factsOf(
      chat({
        stream: true,
        n: 3,
        max_completion_tokens: 900,
        store: true,
        reasoning_effort: 'high',
        service_tier: 'auto',
        modalities: ['text'],
        response_format: { type: 'json_schema', json_schema: { name: 's', schema: {} } },
        prompt_cache_key: 'k',
        prompt_cache_retention: '24h',
        prompt_cache_options: { mode: 'explicit', ttl: '30m' },
        something_new: { deep: [1] },
        tools: [
          { type: 'function', function: { name: 'f', parameters: {} } },
          { type: 'custom', custom: { name: 'c' } },
        ],
        messages: [
          { role: 'developer', content: 's' },
          { role: 'user', content: [{ type: 'text', text: 'x', prompt_cache_breakpoint: { mode: 'explicit' } }] },
          { role: 'assistant', content: null, tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{"type":"input_audio"}' } }] },
          { role: 'tool', tool_call_id: 'c', content: 'done' },
        ],
      }),
    )
    assert.deepEqual([facts.maxTokens, facts.choices, facts.stream, facts.size.tools, facts.size.blocks], [900n, 3n, true, 2, 5])
    assert.equal(factsOf(chat({ max_tokens: 7, max_completion_tokens: null })).maxTokens, 7n)
    assert.deepEqual([factsOf(chat()).maxTokens, factsOf(chat()).choices, factsOf(chat({ stream: null })).stream], [null, 1n, false])
  })

  it('may say in words what is the default anyway', () => {
    const harmless = { web_search_options: null, audio: null, prediction: null, moderation: null, service_tier: 'default', functions: null, tools: [] }
    assert.equal(verdict(chat(harmless)), 'ok')
  })

  it('has no bound with what the vendor does by itself or bills apart', () => {
    const cases: [Body, string][] = [
      [{ web_search_options: {} }, 'web_search_options'],
      [{ audio: { voice: 'v', format: 'mp3' } }, 'audio'],
      [{ modalities: ['text', 'audio'] }, 'modalities'],
      [{ prediction: { type: 'content', content: 'x' } }, 'prediction'],
      [{ moderation: { model: 'm' } }, 'moderation'],
      [{ prompt_cache_options: { ttl: '12h' } }, 'prompt_cache_options.ttl'],
      [{ tools: [{ type: 'web_search' }] }, 'tools[0].type'],
      [{ tools: {} }, 'tools'],
      [{ tools: ['web_search'] }, 'tools[0]'],
      [{ functions: {} }, 'functions'],
      [{ messages: [{ role: 'assistant', audio: { id: 'a' } }] }, 'messages[0].audio'],
      [said([{ type: 'input_audio', input_audio: { data: 'AA', format: 'wav' } }]), 'messages[0].content[0].type'],
      [said([{ type: 'file', file: { file_id: 'f' } }]), 'messages[0].content[0].type'],
      [said([{ type: 'file', file: { file_data: 'AA' } }]), 'messages[0].content[0].type'],
      [said([{ image: 'AA', resize: 512 }]), 'messages[0].content[0].type'],
      [said([{ type: 'text', text: 'x', prompt_cache_breakpoint: { ttl: '12h' } }]), 'messages[0].content[0].prompt_cache_breakpoint.ttl'],
      [said([{ type: 'image_url', image_url: { url: 'https://example.com/a.png' } }]), 'messages[0].content[0].image_url.url'],
      [said([{ type: 'image_url', image_url: { url: 'data:text/html,x' } }]), 'messages[0].content[0].image_url.url'],
      [said({ type: 'text' }), 'messages[0].content'],
    ]
    for (const [more, field] of cases) assert.equal(verdict(chat(more)), field)
    for (const tier of ['priority', 'fast', 'ultrafast', 'scale', 'flex', 'other', 1]) assert.equal(verdict(chat({ service_tier: tier })), 'service_tier')
  })

  it('is refused with limits that are none', () => {
    for (const bad of [0, -1, 1.5, 1e300, 2 ** 53, '5', true, [], {}]) {
      for (const key of ['max_tokens', 'max_completion_tokens', 'n']) assert.equal(verdict(chat({ [key]: bad })), 'invalid', `${key} ${bad}`)
      assert.equal(verdict(responses({ max_output_tokens: bad })), 'invalid', `max_output_tokens ${bad}`)
    }
    assert.equal(verdict(chat({ n: 129 })), 'invalid')
    assert.equal(verdict(chat({ max_tokens: 1, max_completion_tokens: 1 })), 'invalid')
    assert.equal(verdict(chat({ stream: 'yes' })), 'invalid')
    assert.equal(verdict(chat({ stream_options: 'x' })), 'invalid')
    for (const bad of [null, 7, '', []]) assert.deepEqual([verdict(chat({ model: bad })), verdict(responses({ model: bad }))], ['invalid', 'invalid'])
    assert.equal(verdict(responses({ input: 5 })), 'invalid')
    assert.equal(readChatRequest([], 2).kind, 'invalid')
    assert.equal(readResponsesRequest(null, 4).kind, 'invalid')
  })

  it('counts an image at the most that the vendor bills for one, and not as its bytes', () => {
    const image = { type: 'image_url', image_url: { url: PNG, detail: 'original' } }
    const { size } = factsOf(chat(said([image, image])))
    assert.ok(size.textBytes < 1_000)
    assert.equal(size.beyondWindowTokens, 50_000)
    assert.equal(factsOf(chat({ model: 'gpt-4o-mini-2024-07-18', ...said([image]) })).size.beyondWindowTokens, 50_000)
    const text = factsOf(chat(said([{ type: 'text', text: PNG, image_url: { url: PNG } }])))
    assert.ok(text.size.textBytes > 200_000)
  })
})

describe('a Responses request', () => {
  it('as an agent sends it is read: sealed reasoning, calls and their outputs, tools that the caller runs', () => {
    const facts = factsOf(
      responses({
        stream: true,
        store: false,
        instructions: 'i',
        include: ['reasoning.encrypted_content'],
        reasoning: { effort: 'high', summary: 'auto', mode: 'standard' },
        max_output_tokens: 500,
        background: false,
        context_management: [],
        service_tier: null,
        tools: [
          { type: 'function', name: 'f', parameters: {}, strict: true },
          { type: 'custom', name: 'c' },
          { type: 'namespace', name: 'n', tools: [{ type: 'function', name: 'g' }] },
          { type: 'local_shell' },
          { type: 'apply_patch' },
          { type: 'shell', environment: { type: 'local' } },
          { type: 'tool_search', execution: 'client' },
        ],
        input: [
          { role: 'user', content: 'hi' },
          { type: 'message', role: 'assistant', id: 'm', content: [{ type: 'output_text', text: 'x', annotations: [] }] },
          { type: 'reasoning', id: 'r', summary: [], encrypted_content: 'AAAA' },
          { type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' },
          { type: 'function_call_output', call_id: 'c', output: [{ type: 'input_image', detail: 'auto', image_url: PNG }] },
          { type: 'custom_tool_call_output', call_id: 'c', output: 'ok' },
          { type: 'shell_call_output', call_id: 's', output: [{ stdout: 'x', stderr: '', outcome: { type: 'exit', exit_code: 0 } }] },
        ],
      }),
    )
    assert.deepEqual([facts.maxTokens, facts.choices, facts.stream], [500n, 1n, true])
    assert.deepEqual([facts.size.tools, facts.size.vendorTools, facts.size.beyondWindowTokens, facts.size.fillsWindow], [8, 3, 25_000, false])
  })

  it('has no bound with what the vendor runs, keeps, or calls the model again for', () => {
    const cases: [Body, string][] = [
      [{ previous_response_id: 'resp_1' }, 'previous_response_id'],
      [{ conversation: 'conv_1' }, 'conversation'],
      [{ prompt: { id: 'p' } }, 'prompt'],
      [{ background: true }, 'background'],
      [{ context_management: [{ type: 'compaction' }] }, 'context_management'],
      [{ moderation: {} }, 'moderation'],
      [{ service_tier: 'priority' }, 'service_tier'],
      [{ reasoning: { mode: 'pro' } }, 'reasoning'],
      [{ reasoning: 'high' }, 'reasoning'],
      [{ prompt_cache_options: { comparison_response_id: 'r' } }, 'prompt_cache_options'],
      [{ prompt_cache_options: { ttl: '12h' } }, 'prompt_cache_options.ttl'],
      [{ tools: [{ type: 'shell' }] }, 'tools[0].environment'],
      [{ tools: [{ type: 'shell', environment: { type: 'container_auto' } }] }, 'tools[0].environment'],
      [{ tools: [{ type: 'tool_search' }] }, 'tools[0].execution'],
      [{ tools: [{ type: 'namespace', tools: [{ type: 'web_search' }] }] }, 'tools[0].tools[0].type'],
      [{ tools: [{ type: 'namespace', tools: [{ type: 'namespace', tools: [] }] }] }, 'tools[0].tools[0].type'],
      [put({ type: 'additional_tools', role: 'developer', tools: [{ type: 'mcp' }] }), 'input[0].tools[0].type'],
      [put({ type: 'tool_search_output', tools: [{ type: 'file_search' }] }), 'input[0].tools[0].type'],
      [put({ id: 'msg_1' }), 'input[0].type'],
      [put({ type: 'message', role: 'assistant', id: 'msg_1' }), 'input[0].content'],
      [put('text'), 'input[0]'],
      [put({ role: 'user', content: [{ type: 'input_image', file_id: 'f' }] }), 'input[0].content[0].file_id'],
      [put({ role: 'user', content: [{ type: 'input_image', image_url: 'http://169.254.169.254/' }] }), 'input[0].content[0].image_url'],
      [put({ role: 'user', content: [{ type: 'input_file', file_data: 'A' }] }), 'input[0].content[0].type'],
      [put({ role: 'user', content: [{ type: 'input_file', file_url: 'http://x/' }] }), 'input[0].content[0].type'],
      [put({ role: 'user', content: [{ type: 'input_audio' }] }), 'input[0].content[0].type'],
    ]
    for (const [more, field] of cases) assert.equal(verdict(responses(more)), field)
    const vendorTools = ['web_search', 'web_search_preview', 'file_search', 'code_interpreter', 'computer', 'computer_use_preview', 'mcp', 'image_generation']
    for (const type of [...vendorTools, 'programmatic_tool_calling', 'new_tool', 7, null])
      assert.equal(verdict(responses({ tools: [{ type }] })), 'tools[0].type')
    const items = [
      'item_reference',
      'compaction',
      'compaction_trigger',
      'mcp_call',
      'mcp_approval_response',
      'web_search_call',
      'file_search_call',
      'program',
      'new',
    ]
    for (const type of items) assert.equal(verdict(responses(put({ type, id: 'x' }))), 'input[0].type')
  })

  it('takes the whole window for reasoning that only the vendor can look up', () => {
    for (const sealed of [undefined, null, '']) {
      assert.equal(factsOf(responses(put({ type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: sealed }))).size.fillsWindow, true)
    }
  })
})

describe('any JSON at all', () => {
  it('is read without failing, and never as less than its text', () => {
    const part = fc.record(
      {
        type: fc.constantFrom('text', 'input_text', 'image_url', 'input_image', 'x'),
        image_url: fc.oneof(fc.jsonValue(), fc.constant(PNG)),
        text: fc.string(),
      },
      { requiredKeys: [] },
    )
    const message = fc.record({ role: fc.string(), content: fc.oneof(fc.jsonValue(), fc.array(part)), type: fc.constantFrom('message', 'reasoning', null) })
    const body = fc.record(
      {
        model: fc.constant('gpt-5'),
        messages: fc.array(message),
        input: fc.array(message),
        tools: fc.jsonValue(),
        n: fc.jsonValue(),
        reasoning: fc.jsonValue(),
      },
      { requiredKeys: ['model', 'messages', 'input'] },
    )
    fc.assert(
      fc.property(fc.oneof(body, fc.jsonValue()), (request) => {
        for (const read of [readChatRequest(request, bytesOf(request)), readResponsesRequest(request, bytesOf(request))]) {
          if (read.kind !== 'ok') continue
          const { size } = read.facts
          const images = size.beyondWindowTokens / 25_000
          assert.ok(size.textBytes >= 0 && size.textBytes >= bytesOf(request) - images * PNG.length)
        }
      }),
    )
  })
})
