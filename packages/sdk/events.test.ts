import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import test from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import { Autovibe } from './client.ts'
import type { ConnectionChange } from './events.ts'
import { json, problem, startTestHub } from './testing.ts'

const open = (response: ServerResponse) => response.writeHead(200, { 'content-type': 'text/event-stream' })
const frame = (n: number) => `id: 1-${n}\nevent: run.message\ndata: ${JSON.stringify({ id: `evt_${n}`, cursor: `1-${n}`, type: 'run.message', data: {} })}\n\n`

/** The next so many events, then the stream is let go. */
async function take(client: Autovibe, count: number, options: Parameters<Autovibe['events']>[0] = {}): Promise<string[]> {
  const cursors: string[] = []
  for await (const event of client.events(options)) {
    cursors.push(event.cursor)
    if (cursors.length === count) break
  }
  return cursors
}

test('events arrive in order however the bytes are cut, and heartbeats are not events', async () => {
  const bytes = Buffer.from(`: hello\n\n${frame(1)}: beat\n\n${frame(2)}data: not json\n\n${frame(3)}`)
  await using hub = await startTestHub(async (_asked, response) => {
    open(response)
    for (let at = 0; at < bytes.length; at += 5) await new Promise((resolve) => response.write(bytes.subarray(at, at + 5), resolve))
  })
  assert.deepEqual(await take(hub.client, 3), ['1-1', '1-2', '1-3'])
})

test('the filter goes along as a query', async () => {
  await using hub = await startTestHub((_asked, response) => void open(response).write(frame(1)))
  await take(hub.client, 1, { machine: 'mch_x', run: 'run_y', types: ['step.finished', 'run.message'], after: '1-0' })
  const [asked] = hub.asked
  assert.equal(asked?.url.search, '?after=1-0&machine=mch_x&run=run_y&types=step.finished%2Crun.message')
  assert.deepEqual([asked?.headers.accept, asked?.headers['last-event-id']], ['text/event-stream', '1-0'])
})

test('a Hub that dies in the middle of a frame is reconnected to behind the last whole event, and says so', async () => {
  const changes: ConnectionChange[] = []
  await using hub = await startTestHub((asked, response, index) => {
    const after = Number((asked.headers['last-event-id'] ?? '1-0').toString().split('-')[1])
    if (index === 1) return response.destroy()
    if (index === 2) return json(response, problem('hub.database', 503, { retryable: true }), 503)
    open(response)
    if (index === 0) response.write(frame(1) + frame(2) + frame(3).slice(0, 30), () => response.destroy())
    else response.write(frame(after + 1) + frame(after + 2))
  })
  assert.deepEqual(await take(hub.client, 4, { onConnection: (change) => changes.push(change) }), ['1-1', '1-2', '1-3', '1-4'])
  assert.deepEqual(
    hub.asked.map(({ headers }) => headers['last-event-id']),
    [undefined, '1-2', '1-2', '1-2'],
  )
  assert.deepEqual(
    changes.map(({ state }) => state),
    ['open', 'lost', 'lost', 'lost', 'open'],
  )
  assert.deepEqual(changes.at(-1), { state: 'open', reconnected: true })
})

test('a stream that breaks before its first event goes on from the place that it began at', async () => {
  await using hub = await startTestHub((_asked, response, index) => {
    open(response)
    if (index === 0) response.write('id: 7-7\nretry: 1000\n\n', () => response.destroy())
    else response.write(frame(1))
  })
  await take(hub.client, 1)
  assert.equal(hub.asked[1]?.headers['last-event-id'], '7-7')
})

test('a stream that the Hub ends in good order is reconnected to as well', async () => {
  await using hub = await startTestHub((_asked, response, index) => void open(response).end(frame(index + 1)))
  assert.deepEqual(await take(hub.client, 3), ['1-1', '1-2', '1-3'])
})

test('a Hub that comes back at another address is found there', async () => {
  await using first = await startTestHub((_asked, response) => void open(response).write(frame(1), () => response.destroy()))
  await using second = await startTestHub((_asked, response) => void open(response).write(frame(2)))
  let url = first.url
  const client = new Autovibe({ url: () => url, key: 'k' })
  assert.deepEqual(
    await take(client, 2, {
      onConnection: ({ state }) => {
        if (state === 'lost') url = second.url
      },
    }),
    ['1-1', '1-2'],
  )
})

test('what will not get better ends the stream with its error', async () => {
  await using hub = await startTestHub((_asked, response) => json(response, problem('auth.missing', 401), 401))
  await assert.rejects(take(hub.client, 1), (error: unknown) => error instanceof AutovibeError && error.code === 'auth.missing')
  assert.equal(hub.asked.length, 1)
})

test('an outage beyond patience ends the stream with hub.unreachable', async () => {
  await using hub = await startTestHub((_asked, response) => response.destroy())
  await assert.rejects(take(hub.client, 1, { outageMs: 0 }), (error: unknown) => error instanceof AutovibeError && error.code === 'hub.unreachable')
})

test('an abort ends the loop without an error, also while it waits to reconnect', async () => {
  await using hub = await startTestHub((_asked, response) => void open(response).write(frame(1)))
  const abort = new AbortController()
  const seen: string[] = []
  for await (const event of hub.client.events({ signal: abort.signal })) {
    seen.push(event.cursor)
    abort.abort()
  }
  assert.deepEqual(seen, ['1-1'])
  hub.answer = (_asked, response) => response.destroy()
  const waiting = new AbortController()
  assert.deepEqual(await take(hub.client, 1, { signal: waiting.signal, onConnection: () => waiting.abort() }), [])
})

test('leaving the loop closes the connection', async () => {
  let closed: () => void = () => undefined
  const gone = new Promise<void>((resolve) => {
    closed = resolve
  })
  await using hub = await startTestHub((_asked, response) => {
    response.once('close', closed)
    open(response).write(frame(1))
  })
  await take(hub.client, 1)
  await gone
})

test('an event without end is refused instead of being kept in memory', async () => {
  await using hub = await startTestHub((_asked, response) => {
    open(response)
    const more = () => {
      if (!response.destroyed) response.write(`data: ${'x'.repeat(256 * 1024)}\n`, more)
    }
    more()
  })
  await assert.rejects(take(hub.client, 1), (error: unknown) => error instanceof AutovibeError && error.code === 'internal')
})
