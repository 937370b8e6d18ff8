/** What goes out on each wire, and what comes back when the gateway says no. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import fc from 'fast-check'
import { anthropicMessages } from './anthropic.ts'
import { openaiChat } from './openai-chat.ts'
import { openaiResponses } from './openai-responses.ts'
import { codeOf, outgoingText, send } from './testing.ts'
import type { Wire } from './wire.ts'

const WIRES: readonly [Wire, Record<string, unknown>, string][] = [
  [anthropicMessages, { model: 'claude-opus-5-5', max_tokens: 5_000, messages: [] }, 'max_tokens'],
  [openaiChat, { model: 'gpt-5', max_completion_tokens: 5_000, messages: [], service_tier: 'default' }, 'max_completion_tokens'],
  [openaiResponses, { model: 'gpt-5', max_output_tokens: 5_000, input: 'hi', service_tier: 'default' }, 'max_output_tokens'],
]

describe('every wire', () => {
  it('sends the very bytes that came when all is granted and nothing is missing', () => {
    for (const [wire, request] of WIRES) {
      const sent = send(wire, request)
      assert.equal(wire.outgoing(sent.body, sent.raw, sent.facts, 5_000n), sent.raw, wire.name)
    }
  })

  it('writes a granted limit into its own field and touches no other character', () => {
    for (const [wire, request, key] of WIRES) {
      fc.assert(
        fc.property(fc.dictionary(fc.string(), fc.string({ unit: 'grapheme' })), fc.nat(4_999), fc.constantFrom(undefined, 2), (others, granted, indent) => {
          const write = (limit: number) => JSON.stringify({ user: others, ...request, [key]: limit, metadata: others }, null, indent)
          assert.equal(outgoingText(wire, send(wire, write(5_000)), BigInt(granted)), write(granted))
        }),
      )
    }
  })

  it('refuses what has no bound, is broken, or spells a name in disguise', () => {
    for (const [wire, request] of WIRES) {
      assert.equal(
        codeOf(() => send(wire, { ...request, tools: [{ type: 'web_search_20250305' }] })),
        'model.unbounded',
      )
      assert.equal(
        codeOf(() => send(wire, { ...request, model: 7 })),
        'request.invalid',
      )
      assert.equal(
        codeOf(() => send(wire, `{"\\u006dcp_servers":[1],${JSON.stringify(request).slice(1)}`)),
        'request.invalid',
      )
      assert.equal(
        codeOf(() => send(wire, request)),
        'ok',
      )
    }
  })

  it('carries the key in the header of its vendor', () => {
    assert.deepEqual(anthropicMessages.keyHeaders('k'), { 'x-api-key': 'k' })
    for (const wire of [openaiChat, openaiResponses]) assert.deepEqual(wire.keyHeaders('k'), { authorization: 'Bearer k' })
  })

  it('says no in the words of its vendor, with the fix in the message and apart', () => {
    const error = new AutovibeError('budget.insufficient', 'Too little is left.', { fix: 'Raise it.' })
    const autovibe = { code: 'budget.insufficient', fix: 'Raise it.' }
    const message = 'autovibe: Too little is left. Raise it.'
    assert.deepEqual(anthropicMessages.errorBody(error, 402), { type: 'error', error: { type: 'billing_error', message, autovibe } })
    for (const wire of [openaiChat, openaiResponses]) {
      assert.deepEqual(wire.errorBody(error, 402), { error: { message, type: 'insufficient_quota', code: 'insufficient_quota', param: null, autovibe } })
    }
  })

  it('ends a stream with an error that its own tap takes for the end', () => {
    const error = new AutovibeError('provider.unavailable', 'It is away.')
    for (const [wire, request] of WIRES) {
      const tap = wire.tapStream(send(wire, { ...request, stream: true }).facts)
      tap.push(Buffer.from(`data: {"cut":"of\n\n${wire.errorEvent(error)}`))
      tap.end()
      assert.deepEqual([tap.ended, tap.refusedBeforeStart, tap.usage.completeness], [true, false, 'none'], wire.name)
    }
  })
})

describe('the OpenAI wires', () => {
  it('write a limit where the client named none, and under the name that it used', () => {
    const chat = (more: object) => outgoingText(openaiChat, send(openaiChat, { model: 'gpt-5', messages: [], service_tier: 'default', ...more }), 9n)
    assert.equal(chat({}), '{"max_completion_tokens":9,"model":"gpt-5","messages":[],"service_tier":"default"}')
    assert.equal(chat({ max_tokens: 20 }), '{"model":"gpt-5","messages":[],"service_tier":"default","max_tokens":9}')
    assert.equal(chat({ max_tokens: null }), '{"max_completion_tokens":9,"model":"gpt-5","messages":[],"service_tier":"default","max_tokens":null}')
    assert.equal(chat({ max_completion_tokens: null }), '{"model":"gpt-5","messages":[],"service_tier":"default","max_completion_tokens":9}')
    const responses = send(openaiResponses, { model: 'gpt-5', input: 'x', service_tier: 'default' })
    assert.equal(outgoingText(openaiResponses, responses, 9n), '{"max_output_tokens":9,"model":"gpt-5","input":"x","service_tier":"default"}')
  })

  it('ask for all that a model makes when the client named no limit, and say so to the vendor', () => {
    const limits = {
      'gpt-5': 128_000n,
      'gpt-5.1-chat-latest': 16_384n,
      'gpt-6-sol': 128_000n,
      o3: 100_000n,
      'gpt-4.1-mini': 32_768n,
      'gpt-4o': 16_384n,
      'gpt-4o-2024-05-13': 4_096n,
      'gpt-4': 4_096n,
    }
    for (const [model, limit] of Object.entries(limits)) {
      const sent = send(openaiChat, { model, messages: [] })
      assert.equal(sent.facts.maxTokens, limit, model)
      assert.match(outgoingText(openaiChat, sent, limit), new RegExp(`"max_completion_tokens":${limit}`))
      assert.equal(send(openaiResponses, { model, input: 'x' }).facts.maxTokens, limit)
    }
  })

  it('name the tier whose prices are known where the client left it open', () => {
    for (const [wire, request, key] of WIRES.slice(1)) {
      const { service_tier: _, ...open } = request
      for (const tier of [{}, { service_tier: null }, { service_tier: 'auto' }]) {
        const out = JSON.parse(outgoingText(wire, send(wire, { ...open, ...tier }), 5_000n)) as Record<string, unknown>
        assert.deepEqual([out['service_tier'], out[key]], ['default', 5_000])
      }
    }
  })

  it('ask a Chat stream for its usage, beside what else the client asked of it', () => {
    const base = { model: 'gpt-5', max_tokens: 9, messages: [], service_tier: 'default', stream: true }
    const out = (more: object) => {
      const sent = send(openaiChat, { ...base, ...more })
      return [sent.facts.hidesUsage, JSON.parse(outgoingText(openaiChat, sent, 9n)).stream_options] as const
    }
    assert.deepEqual(out({}), [true, { include_usage: true }])
    assert.deepEqual(out({ stream_options: null }), [true, { include_usage: true }])
    assert.deepEqual(out({ stream_options: { include_usage: false, include_obfuscation: false } }), [true, { include_usage: true, include_obfuscation: false }])
    assert.deepEqual(out({ stream_options: { include_usage: true } }), [false, { include_usage: true }])
    assert.deepEqual(out({ stream: false }), [false, undefined])
  })
})
