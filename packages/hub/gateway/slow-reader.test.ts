/** A client that does not read: the provider is held up, and nothing piles up in between. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { after, describe, it } from 'node:test'
import { ask, USD } from './test-calls.ts'
import { deltaEvent, messageOf, openStream, openTestGateway, sendJson, startEvent, stopEvent, textEvent, usageOf } from './testing.ts'

const hub = await openTestGateway()
after(() => hub.closeAll())

const MIB = 1024 * 1024
const PIECES = 3_200
const TEXT = 'x'.repeat(64 * 1024)
const chunk = (fields: object) => `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', model: 'gpt-5', ...fields })}\n\n`

const STREAMS = [
  {
    what: 'a message',
    wire: 'anthropic',
    path: '/v1/messages',
    body: ask({ stream: true }),
    start: startEvent(usageOf(1, 1)),
    piece: textEvent(TEXT),
    end: deltaEvent({ output_tokens: 5 }) + stopEvent(),
  },
  {
    what: 'a completion, out of which the usage is taken',
    wire: 'openai',
    path: '/v1/chat/completions',
    body: { model: 'gpt-5', max_completion_tokens: 1_000, messages: [], stream: true },
    start: chunk({ choices: [], usage: null }),
    piece: chunk({ choices: [{ index: 0, delta: { content: TEXT }, finish_reason: null }], usage: null }),
    end: `${chunk({ choices: [], usage: { prompt_tokens: 1, completion_tokens: 5, total_tokens: 6 } })}data: [DONE]\n\n`,
  },
] as const

describe('a client that does not read', () => {
  for (const { what, wire, path, body, start, piece, end } of STREAMS) {
    it(`holds the provider of ${what} up, costs no memory meanwhile, and gets all of it in the end`, async () => {
      let written = 0
      hub.answerWith(async (seen, res) => {
        if (seen.body['stream'] !== true) return sendJson(res, messageOf(usageOf(1, 1)))
        const pieces = function* () {
          yield start
          for (; written < PIECES; written++) yield piece
          yield end
        }
        await pipeline(pieces, openStream(res))
      })
      const machine = await hub.machine(USD, wire)
      const other = await hub.machine(USD)
      const rssBefore = process.memoryUsage.rss()
      const response = await open(`${machine.url}/gateway${path}`, machine.token, body)
      // Until nothing flows any more while whole calls of another machine come and go.
      for (let before = -1; before !== written; ) {
        before = written
        for (let calls = 0; calls < 5; calls++) await (await other.call(ask())).json()
      }
      const grownMib = (process.memoryUsage.rss() - rssBefore) / MIB
      assert.ok(written * TEXT.length < 32 * MIB, `${written} of ${PIECES} pieces left the provider`)
      assert.ok(grownMib < 96, `${grownMib} MiB more for a stream of ${(PIECES * TEXT.length) / MIB} MiB`)

      let bytes = 0
      for await (const part of response) bytes += (part as Buffer).length
      assert.ok(bytes > PIECES * TEXT.length)
      await machine.settled()
      assert.equal((await machine.usage())[0]?.quality, 'measured')
    })
  }
})

/** Sends a request and returns its answer, of which nothing is read before it is asked for. */
async function open(url: string, token: string, body: unknown): Promise<IncomingMessage> {
  const sent = request(url, { method: 'POST', headers: { 'content-type': 'application/json', 'x-api-key': token } })
  sent.end(JSON.stringify(body))
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  return response
}
