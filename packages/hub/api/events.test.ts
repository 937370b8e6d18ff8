/** The event stream: in order, without a gap, resumable, and never more in memory than a reader takes. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get as httpGet, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { after, test } from 'node:test'
import type { Event, Page } from '@autovibe/contract'
import { createParser } from 'eventsource-parser'
import { sql } from 'kysely'
import { recordEvents } from '../database/events.ts'
import { startTestApi } from './testing/test-api.ts'

const api = await startTestApi()
const origin = await api.app.listen({ host: '127.0.0.1', port: 0 })
after(() => api.close())

const json = { accept: 'application/json' }
const emit = (labels: readonly string[]) =>
  api.transaction((tx) =>
    recordEvents(
      tx,
      api.runtime,
      labels.map((label) => ({ type: 'run.message', data: { label } })),
    ),
  )
const labelOf = (event: Event) => String(event.data['label'])
const page = async (query: string) => (await api.call<Page<Event>>('GET', `/v1/events?types=run.message${query}`, { headers: json })).body

/** Opens a stream and gives its events one by one. */
async function follow(query: string, headers: Record<string, string> = {}) {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    httpGet(`${origin}/v1/events?types=run.message${query}`, { headers: { authorization: `Bearer ${api.keys.user}`, ...headers } }, resolve).on('error', reject)
  })
  const queue: Event[] = []
  const parser = createParser({
    onEvent: ({ id, event, data }) => {
      const parsed = JSON.parse(data) as Event
      assert.deepEqual([id, event], [parsed.cursor, parsed.type])
      queue.push(parsed)
    },
  })
  response.setEncoding('utf8')
  return {
    response,
    async take(count: number): Promise<Event[]> {
      while (queue.length < count) {
        const chunk = await new Promise<string | null>((resolve) => {
          const ready = response.read() as string | null
          if (ready !== null) return resolve(ready)
          const look = (): void => {
            response.off('readable', look).off('close', look)
            resolve(response.read() as string | null)
          }
          response.once('readable', look).once('close', look)
        })
        if (chunk !== null) parser.feed(chunk)
        else if (response.closed) throw new Error(`the stream ended after ${queue.length} of ${count} events`)
      }
      return queue.splice(0, count)
    },
    close: () => response.destroy(),
  }
}

test('a stream shows what was before its cursor never, and what is after it in order', async () => {
  await emit(['a', 'b', 'c'])
  const all = await page('')
  const stream = await follow(`&after=${all.items[0]?.cursor}`)
  assert.match(String(stream.response.headers['content-type']), /^text\/event-stream/)
  assert.deepEqual((await stream.take(2)).map(labelOf), ['b', 'c'])
  await emit(['d'])
  assert.deepEqual((await stream.take(1)).map(labelOf), ['d'])
  stream.close()
})

test('without a cursor a stream starts now; 0-0 is the beginning', async () => {
  const live = await follow('')
  const whole = await follow('&after=0-0')
  assert.equal(labelOf((await whole.take(1))[0] as Event), 'a')
  await emit(['live'])
  assert.equal(labelOf((await live.take(1))[0] as Event), 'live')
  live.close()
  whole.close()
})

test('a reader that comes back with Last-Event-ID misses nothing and sees nothing twice', async () => {
  const labels = Array.from({ length: 30 }, (_, index) => `r${index}`)
  const from = (await page('&limit=1000')).items.at(-1)?.cursor ?? '0-0'
  const writing = (async () => {
    for (const label of labels) await emit([label])
  })()
  const seen: string[] = []
  let cursor = from
  while (seen.length < labels.length) {
    const stream = await follow('', { 'last-event-id': cursor })
    const events = await stream.take(Math.min(7, labels.length - seen.length))
    stream.close()
    seen.push(...events.map(labelOf))
    cursor = events.at(-1)?.cursor ?? cursor
  }
  await writing
  assert.deepEqual(seen, labels)
})

test('an event of a transaction that commits late is shown, although later ones were committed before', async () => {
  const from = (await page('&limit=1000')).items.at(-1)?.cursor ?? '0-0'
  const stream = await follow(`&after=${from}`)
  await api.transaction(async (late) => {
    await recordEvents(late, api.runtime, [{ type: 'run.message', data: { label: 'late' } }])
    await emit(['early'])
    // It is committed, but nobody may see it yet: whoever did would skip the late one.
    assert.deepEqual((await page(`&after=${from}`)).items, [])
  })
  assert.deepEqual((await stream.take(2)).map(labelOf), ['late', 'early'])
  stream.close()
})

test('pages hold every event once and end with no cursor', async () => {
  const seen: string[] = []
  let after: string | null = '0-0'
  while (after !== null) {
    const body: Page<Event> = await page(`&limit=4&after=${after}`)
    assert.ok(body.items.length <= 4)
    seen.push(...body.items.map(({ id }) => id))
    after = body.next_cursor
  }
  assert.equal(new Set(seen).size, seen.length)
  assert.deepEqual(
    seen,
    (await page('&limit=1000')).items.map(({ id }) => id),
  )
})

test('a reader that takes nothing makes the Hub hold a page for it, not the whole stream', async () => {
  const from = (await page('&limit=1000')).items.at(-1)?.cursor ?? '0-0'
  const text = 'x'.repeat(20_000)
  await api.transaction((tx) =>
    sql`insert into events (id, type, at, data) select 'evt_' || n, 'run.message', now(), jsonb_build_object('label', ${text}::text || n) from generate_series(1, 2000) n`.execute(
      tx,
    ),
  )
  const sockets = new Set<import('node:net').Socket>()
  api.app.server.once('request', (_request, response) => sockets.add(response.socket as import('node:net').Socket))
  const stream = await follow(`&after=${from}`)
  const [socket] = sockets
  // Reading stops at one event; the Hub goes on until the connection is full, then waits.
  await stream.take(1)
  while (socket !== undefined && socket.writableNeedDrain === false) await new Promise((resolve) => setImmediate(resolve))
  assert.ok((socket?.writableLength ?? 0) < 16 * 1024 * 1024, `holds ${socket?.writableLength} of 40 million bytes`)
  assert.equal((await stream.take(1999)).length, 1999)
  stream.close()
})

test('a filter by run shows the events of that run alone', async () => {
  const project = await api.project('p')
  const [one, two] = [api.runtime.newId('run'), api.runtime.newId('run')]
  await api.transaction((tx) =>
    recordEvents(tx, api.runtime, [
      { type: 'run.message', run_id: one, project_id: project },
      { type: 'run.message', run_id: two, project_id: project },
    ]),
  )
  assert.deepEqual(
    (await page(`&run=${two}`)).items.map(({ run_id }) => run_id),
    [two],
  )
  assert.equal((await page(`&project=${project}`)).items.length, 2)
})

test('closing the Hub ends every stream, every wait, and connections that never said anything', { timeout: 30_000 }, async () => {
  const own = await startTestApi()
  const url = await own.app.listen({ host: '127.0.0.1', port: 0 })
  await own.machine(await own.project('p'), 'm', 'booting')
  const headers = { authorization: `Bearer ${own.keys.admin}` }
  const stream = await fetch(`${url}/v1/events`, { headers })
  const reader = stream.body?.getReader()
  await reader?.read()
  const arrived = new Promise<void>((resolve) => own.app.server.once('request', () => resolve()))
  const wait = fetch(`${url}/v1/machines/m/wait?for=ready&timeout=60`, { headers })
  await arrived
  const silent = connect(Number(new URL(url).port), '127.0.0.1')
  const connected = once(own.app.server, 'connection')
  await Promise.all([connected, once(silent, 'connect')])
  await own.close()
  assert.equal((await reader?.read())?.done, true)
  const outcome = await wait.then(
    (response) => response.status,
    () => 'closed',
  )
  assert.ok(outcome === 200 || outcome === 'closed' || outcome === 503, String(outcome))
})
