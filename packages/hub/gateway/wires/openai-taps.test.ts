/** The taps of the OpenAI wires: the figures are found however the bytes are cut, and the client sees what it would have seen without the gateway. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { LIMITS } from '../limits.ts'
import { ChatTap } from './openai-chat-tap.ts'
import { ResponsesTap } from './openai-responses-tap.ts'
import { feed, findings } from './testing.ts'
import type { StreamTap } from './wire.ts'

const lengths = fc.array(fc.integer({ min: 1, max: 80 }), { minLength: 1, maxLength: 20 })
const chunk = (fields: object) => ({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'gpt-5-2025-08-07', ...fields })
const delta = (content: string) => ({ choices: [{ index: 0, delta: { content }, logprobs: null, finish_reason: null }] })
const sse = (...events: object[]) => events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('')
const DONE = 'data: [DONE]\n\n'
const FIGURES = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15, prompt_tokens_details: { cached_tokens: 4 } }

/** A stream as the vendor sends it when usage is asked for, and when it is not. */
const chatStream = (texts: readonly string[], asked: boolean) => {
  const usage = asked ? { usage: null } : {}
  return sse(...texts.map((text) => chunk({ ...delta(text), ...usage, obfuscation: 'x' })), ...(asked ? [chunk({ choices: [], usage: FIGURES })] : [])) + DONE
}
/** Words that look like what the tap looks for. */
const words = fc.array(
  fc.oneof(fc.string({ unit: 'grapheme' }), fc.constantFrom(',"usage":null', '"error"', 'data: [DONE]', '\n\n', '"usage":{"prompt_tokens":9}')),
)

describe('the tap of a Chat Completions stream', () => {
  it('hides what only the gateway asked for, wherever the pieces are cut', () => {
    fc.assert(
      fc.property(words, lengths, (texts, cuts) => {
        const tap = new ChatTap(true)
        assert.equal(feed(tap, chatStream(texts, true), cuts), chatStream(texts, false))
        assert.deepEqual([tap.usage.completeness, tap.ended, tap.refusedBeforeStart], ['full', true, false])
        assert.deepEqual(tap.usage.usage.tokens, { input: 6n, cacheRead: 4n, cacheWrite5m: 0n, cacheWrite1h: 0n, output: 5n })
      }),
    )
  })

  it('leaves every byte of a stream whose client asked for usage, and finds the same figures', () => {
    fc.assert(
      fc.property(words, lengths, (texts, cuts) => {
        const stream = chatStream(texts, true)
        const tap = new ChatTap(false)
        assert.equal(feed(tap, stream, cuts), stream)
        const whole = new ChatTap(false)
        feed(whole, stream, [])
        assert.deepEqual(findings(tap), findings(whole))
        assert.equal(tap.usage.completeness, 'full')
      }),
    )
  })

  it('hands on the very piece that came when nothing in it is hidden', () => {
    const piece = Buffer.from(sse(chunk(delta('a')), chunk(delta('b'))))
    for (const hides of [true, false]) assert.equal(new ChatTap(hides).push(piece), piece)
    const half = piece.subarray(0, 30)
    assert.equal(new ChatTap(false).push(half), half)
  })

  it('hides the usage of servers that write it with spaces and with carriage returns', () => {
    const tap = new ChatTap(true)
    const usage = 'data: {"id": "c", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}\r\n\r\n'
    const text = 'data: {"id": "c", "choices": [{"index": 0}]}\r\n\r\n'
    assert.equal(feed(tap, `: comment\r\n\r\n${text}${usage}data: [DONE]\r\n\r\n`, [7]), `: comment\r\n\r\n${text}data: [DONE]\r\n\r\n`)
    assert.equal(tap.usage.usage.tokens.output, 2n)
  })

  it('finds figures that come first in their chunk, or beside another usage that is null', () => {
    for (const data of [
      '{"usage":{"prompt_tokens":1,"completion_tokens":2},"choices":[]}',
      '{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2},"x":{"a":1,"usage":null}}',
    ]) {
      const tap = new ChatTap(true)
      assert.equal(feed(tap, `data:${data}\n\n${DONE}`, [20]), DONE)
      assert.equal(tap.usage.completeness, 'full')
    }
  })

  it('keeps a chunk that has both text and figures, and believes them at the end of the stream', () => {
    const both = sse(
      chunk({ ...delta('a'), usage: { prompt_tokens: 3, completion_tokens: 1 } }),
      chunk({ ...delta('b'), usage: { prompt_tokens: 3, completion_tokens: 2 } }),
    )
    const cut = new ChatTap(true)
    assert.equal(feed(cut, both, [11]), both)
    assert.deepEqual([cut.usage.completeness, cut.ended], ['input', false])
    const whole = new ChatTap(true)
    feed(whole, both + DONE, [11])
    assert.deepEqual([whole.usage.completeness, whole.usage.usage.tokens.output], ['full', 2n])
  })

  it('knows nothing of a stream that was cut off, and says that it has not ended', () => {
    const tap = new ChatTap(true)
    const stream = chatStream(['a', 'b'], true)
    assert.equal(feed(tap, stream.slice(0, 60), [9]), stream.slice(0, 60))
    assert.deepEqual([tap.usage.completeness, tap.ended, tap.refusedBeforeStart], ['none', false, false])
  })

  it('takes a refusal as unbilled only before the first chunk', () => {
    const error = sse({ error: { message: 'm', type: 'requests', code: 'rate_limit_exceeded', param: null } })
    const first = new ChatTap(true)
    assert.equal(feed(first, error, [5]), error)
    assert.deepEqual([first.ended, first.refusedBeforeStart], [true, true])
    const later = new ChatTap(true)
    feed(later, sse(chunk(delta('a'))) + error, [5])
    assert.deepEqual([later.ended, later.refusedBeforeStart], [true, false])
    const fault = new ChatTap(false)
    feed(fault, sse({ error: { message: 'm', type: 'server_error', code: null, param: null } }), [5])
    assert.deepEqual([fault.ended, fault.refusedBeforeStart], [true, false])
  })

  it('passes a line that is too long to hold, and goes on behind it', () => {
    const long = `data: ${'x'.repeat(LIMITS.eventLineBytes + 10)}\n\n`
    const tap = new ChatTap(true)
    const stream = sse(chunk({ choices: [], usage: FIGURES })) + DONE
    assert.equal(feed(tap, long + stream, [1_000_003]).length, long.length + DONE.length)
    assert.equal(tap.usage.completeness, 'full')
  })
})

const response = (fields: object) => ({ id: 'resp_1', object: 'response', model: 'gpt-5-2025-08-07', output: [], error: null, usage: null, ...fields })
const event = (data: { type: string } & Record<string, unknown>) => `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`
const usage = {
  input_tokens: 10,
  input_tokens_details: { cached_tokens: 4, cache_write_tokens: 0 },
  output_tokens: 5,
  output_tokens_details: { reasoning_tokens: 3 },
  total_tokens: 15,
}
const opening = event({ type: 'response.created', sequence_number: 0, response: response({ status: 'in_progress' }) })
const text = (delta: string) => event({ type: 'response.output_text.delta', sequence_number: 1, item_id: 'm', output_index: 0, content_index: 0, delta })
const last = (type: string, fields: object) => event({ type, sequence_number: 2, response: response(fields) })

describe('the tap of a Responses stream', () => {
  it('finds the figures of the last event, whatever it is called and however the bytes are cut, and changes nothing', () => {
    const ends = fc.constantFrom('response.completed', 'response.incomplete', 'response.failed')
    fc.assert(
      fc.property(words, ends, lengths, (texts, end, cuts) => {
        const stream = opening + texts.map(text).join('') + last(end, { status: 'x', usage })
        const tap = new ResponsesTap()
        assert.equal(feed(tap, stream, cuts), stream)
        assert.deepEqual([tap.usage.completeness, tap.usage.usage.messageId, tap.ended], ['full', 'resp_1', true])
        assert.deepEqual(tap.usage.usage.tokens, { input: 6n, cacheRead: 4n, cacheWrite5m: 0n, cacheWrite1h: 0n, output: 5n })
      }),
    )
  })

  it('finds them also where the type does not come first', () => {
    const tap = new ResponsesTap()
    feed(tap, `data: ${JSON.stringify({ response: response({ usage }), type: 'response.completed' })}\n`, [13])
    assert.deepEqual([tap.usage.completeness, tap.ended], ['full', true])
  })

  it('knows nothing of a stream that was cut off or failed without figures', () => {
    const cut = new ResponsesTap()
    feed(cut, opening + text('a'), [10])
    assert.deepEqual([cut.usage.completeness, cut.ended], ['none', false])
    const failed = new ResponsesTap()
    feed(failed, opening + text('a') + last('response.failed', { error: { code: 'rate_limit_exceeded', message: 'm' } }), [10])
    assert.deepEqual(findings(failed), { usage: failed.usage, ended: true, refusedBeforeStart: false })
    assert.equal(failed.usage.completeness, 'none')
  })

  it('takes a refusal as unbilled only before the model has begun', () => {
    const refusals = [
      event({ type: 'error', code: 'rate_limit_exceeded', message: 'm', param: null, sequence_number: 0 }),
      event({ type: 'error', error: { type: 'invalid_request_error', code: null, message: 'm' } }),
      opening + last('response.failed', { error: { code: 'rate_limit_exceeded', message: 'm' } }),
    ]
    for (const stream of refusals) {
      const tap: StreamTap = new ResponsesTap()
      feed(tap, stream, [17])
      assert.deepEqual([tap.ended, tap.refusedBeforeStart], [true, true], stream)
    }
    const fault = new ResponsesTap()
    feed(fault, opening + last('response.failed', { error: { code: 'server_error', message: 'm' } }), [17])
    assert.equal(fault.refusedBeforeStart, false)
  })
})
