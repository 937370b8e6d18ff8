/** What a request says about its money; the refusals of whole calls are tested through the gateway. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { readRequest } from './anthropic-request.ts'

const base = { model: 'm', max_tokens: 10, messages: [] as unknown[] }
const read = (body: Record<string, unknown>) => readRequest(body, Buffer.byteLength(JSON.stringify(body)))
function sizeOf(body: Record<string, unknown>) {
  const answer = read(body)
  assert.equal(answer.kind, 'ok')
  assert.ok(answer.kind === 'ok')
  return answer.facts.size
}
const unboundedField = (body: Record<string, unknown>) => {
  const answer = read(body)
  return answer.kind === 'unbounded' ? answer.field : answer.kind
}

describe('a Messages request', () => {
  it('as Claude Code sends it is read: adaptive thinking, cleared thinking, cached text, tools, a second round', () => {
    const answer = read({
      model: 'm',
      max_tokens: 128_000,
      stream: true,
      thinking: { type: 'adaptive' },
      context_management: { edits: [{ type: 'clear_thinking_20251015', keep: 'all' }] },
      output_config: { effort: 'high' },
      metadata: { user_id: 'u' },
      system: [{ type: 'text', text: 's', cache_control: { type: 'ephemeral', ttl: '1h' } }],
      tools: [
        { name: 'Write', description: 'd', input_schema: { type: 'object' } },
        { type: 'bash_20250124', name: 'bash' },
      ],
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'hi' }] },
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 't', signature: 's' },
            { type: 'tool_use', id: 'a', name: 'Write', input: { type: 'url', source: { type: 'file' } } },
          ],
        },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a', content: 'ok' }] },
        { role: 'system', content: 'a reminder' },
      ],
    })
    assert.ok(answer.kind === 'ok')
    assert.deepEqual([answer.facts.maxTokens, answer.facts.stream, answer.facts.thinkingTokens], [128_000n, true, null])
    assert.deepEqual([answer.facts.size.tools, answer.facts.size.vendorTools, answer.facts.size.blocks], [1, 1, 9])
  })

  it('counts an image as an image and not as its bytes, wherever it stands', () => {
    const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'A'.repeat(100_000) } }
    const size = sizeOf({
      ...base,
      messages: [
        {
          role: 'user',
          content: [image, { type: 'tool_result', tool_use_id: 't', content: [image] }, { type: 'document', source: { type: 'content', content: [image] } }],
        },
      ],
    })
    assert.equal(size.images, 3)
    assert.ok(size.textBytes < 1_000)
  })

  it('counts text that calls itself an image as text', () => {
    const size = sizeOf({ ...base, messages: [{ role: 'user', content: [{ type: 'text', text: 'x', source: { type: 'base64', data: 'A'.repeat(5_000) } }] }] })
    assert.equal(size.images, 0)
    assert.ok(size.textBytes > 5_000)
  })

  it('sees a PDF, citations, and tools that are described again by reference', () => {
    const pdf = { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: 'AAAA' }, citations: { enabled: true } }
    const size = sizeOf({
      ...base,
      tools: [{ name: 'a', description: 'x'.repeat(100), defer_loading: true }],
      messages: [{ role: 'user', content: [pdf, { type: 'tool_result', content: [{ type: 'tool_reference', tool_name: 'a' }] }] }],
    })
    assert.deepEqual([size.fillsWindow, size.hasCitations, size.toolReferences], [true, true, 1])
    assert.ok(size.longestToolBytes >= 100)
  })

  it('has no bound with tools that the vendor runs, also when they come in by a message', () => {
    for (const type of [
      'web_search_20250305',
      'web_fetch_20250910',
      'code_execution_20250522',
      'mcp_toolset',
      'tool_search_tool_regex',
      'advisor_20260301',
      'bash_latest',
      7,
    ]) {
      assert.equal(unboundedField({ ...base, tools: [{ type, name: 'x' }] }), 'tools[0].type')
      const added = { type: 'tool_addition', tool: { type: 'tool_definition', definition: { type, name: 'x' } } }
      assert.equal(unboundedField({ ...base, messages: [{ role: 'system', content: [added] }] }), 'messages[0].content[0].tool.definition.type')
    }
  })

  it('may say in words what is the default anyway', () => {
    const harmless = { mcp_servers: [], fallbacks: null, container: null, speed: 'standard', service_tier: 'auto', inference_geo: 'global', compaction: null }
    assert.equal(unboundedField({ ...base, ...harmless }), 'ok')
  })

  it('never fails on any JSON, and never reads more from it than was sent', () => {
    const block = fc.record(
      { type: fc.constantFrom('text', 'image', 'document', 'tool_result', 'x'), source: fc.jsonValue(), content: fc.jsonValue() },
      { requiredKeys: [] },
    )
    const body = fc.record(
      {
        model: fc.constant('m'),
        max_tokens: fc.nat(),
        messages: fc.array(fc.record({ role: fc.string(), content: fc.array(block) })),
        tools: fc.jsonValue(),
        system: fc.jsonValue(),
      },
      { requiredKeys: ['model', 'max_tokens', 'messages'] },
    )
    fc.assert(
      fc.property(body, (request) => {
        const answer = read(request)
        if (answer.kind === 'ok') assert.ok(answer.facts.size.textBytes >= 0)
      }),
    )
  })
})
