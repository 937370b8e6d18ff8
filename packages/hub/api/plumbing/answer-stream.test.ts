import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage, type ServerResponse } from 'node:http'
import { type TestContext, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import Fastify from 'fastify'
import { answerStream, whileThere } from './answer-stream.ts'

const PIECE = 'x'.repeat(1024 * 1024)

interface Server {
  readonly url: string
  /** Of the answer under way. */
  response(): ServerResponse
  /** Resolves when the answer has ended, however. */
  readonly ended: Promise<void>
  readonly closing: AbortController
}

/** A server that answers with these pieces. */
async function serve(t: TestContext, pieces: (signal: AbortSignal) => AsyncGenerator<string, void>, stalledMs = 60_000): Promise<Server> {
  const app = Fastify({ forceCloseConnections: true })
  const closing = new AbortController()
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  let response: ServerResponse | undefined
  app.get('/', async (request, reply) => {
    response = reply.raw
    const signal = whileThere(reply, closing.signal)
    try {
      return await answerStream(request, reply, { 'content-type': 'text/plain' }, pieces(signal), { signal, stalledMs })
    } finally {
      resolve()
    }
  })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  t.after(() => app.close())
  return { url, ended, closing, response: () => response ?? assert.fail('nobody has asked yet') }
}

async function askFor(url: string): Promise<IncomingMessage> {
  const request = get(url, { agent: false })
  const [answer] = (await once(request, 'response')) as [IncomingMessage]
  return answer
}

test('no piece is made before the client has taken most of those before it, and none after it has left', async (t) => {
  let made = 0
  const server = await serve(t, async function* () {
    for (; made < 1000; made++) yield PIECE
  })
  const answer = await askFor(server.url)
  while (!server.response().writableNeedDrain) await setImmediate()
  const whenFull = made
  assert.ok(whenFull < 100, `${whenFull} MiB were made for a client that takes none`)
  answer.destroy()
  await server.ended
  assert.equal(made, whenFull)
})

test('a client that takes nothing for too long is cut off', async (t) => {
  const server = await serve(
    t,
    async function* () {
      for (;;) yield PIECE
    },
    20,
  )
  const answer = await askFor(server.url)
  await server.ended
  assert.ok(server.response().destroyed)
  answer.destroy()
})

test('a client that takes all but the last bytes is cut off too', async (t) => {
  let fullFor = 0
  const server = await serve(
    t,
    async function* () {
      // Until the kernel holds no more, with so little waiting here that nothing has to be drained.
      while (fullFor < 50) {
        if (fullFor === 0) yield 'x'.repeat(1024)
        await setImmediate()
        fullFor = (server.response().socket?.writableLength ?? 0) > 0 ? fullFor + 1 : 0
      }
    },
    100,
  )
  const answer = await askFor(server.url)
  await server.ended
  const { destroyed, writableEnded, writableFinished } = server.response()
  assert.deepEqual({ destroyed, writableEnded, writableFinished }, { destroyed: true, writableEnded: true, writableFinished: false })
  answer.destroy()
})

test('a large piece goes out in parts, so that a slow client shows that it takes some of it', async (t) => {
  const piece = 'x'.repeat(24 * 1024 * 1024)
  let drained = 0
  const server = await serve(t, async function* () {
    server.response().on('drain', () => drained++)
    yield piece
  })
  let bytes = 0
  for await (const chunk of await askFor(server.url)) bytes += (chunk as Buffer).length
  assert.equal(bytes, piece.length)
  assert.ok(drained > 10, `${drained} times`)
})

test('all pieces arrive in their order', async (t) => {
  const server = await serve(t, async function* () {
    for (let index = 0; index < 50; index++) yield `${index}${PIECE}`
  })
  let got = ''
  for await (const chunk of (await askFor(server.url)).setEncoding('latin1')) got += chunk
  assert.equal(got, Array.from({ length: 50 }, (_, index) => `${index}${PIECE}`).join(''))
})

test('what fails before the first piece is left to the error handler; what fails later breaks off behind the pieces', async (t) => {
  const early = await serve(t, async function* (signal) {
    if (!signal.aborted) throw new Error('at once')
    yield 'never'
  })
  assert.equal((await askFor(early.url)).statusCode, 500)
  const late = await serve(t, async function* () {
    yield 'first '
    yield PIECE
    yield ' last'
    throw new Error('later')
  })
  const answer = await askFor(late.url)
  let got = ''
  await assert.rejects(async () => {
    for await (const chunk of answer.setEncoding('latin1')) got += chunk
  })
  assert.equal(got, `first ${PIECE} last`)
})

test('a Hub that closes ends the answers under way', async (t) => {
  const server = await serve(t, async function* () {
    for (;;) yield PIECE
  })
  const answer = await askFor(server.url)
  server.closing.abort()
  await server.ended
  await assert.rejects(once(answer.resume(), 'end').then(() => (answer.complete ? undefined : Promise.reject(new Error('broken off')))))
})

test('a source that waits is left when the client leaves', async (t) => {
  const server = await serve(t, async function* (signal) {
    yield 'first'
    await once(signal, 'abort')
    signal.throwIfAborted()
  })
  const answer = await askFor(server.url)
  answer.destroy()
  await server.ended
})
