import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AutovibeError, type TemplateEvent } from '@autovibe/contract'
import { systemRuntime } from '../runtime.ts'
import { type Making, templateEvents } from './template-events.ts'

const TEMPLATE = { vmid: 9000, node: 'pve1', build: 'autovibe-template-0123456789ab', made: true }
const never = new AbortController().signal

function reading(make: Making, more: { signal?: AbortSignal; aliveMs?: number } = {}) {
  const errors: AutovibeError[] = []
  const lines = templateEvents(make, { runtime: systemRuntime, signal: never, onError: (error) => void errors.push(error), ...more })
  return { lines, errors }
}
const eventOf = (line: string): TemplateEvent => {
  assert.ok(line.endsWith('\n'))
  return JSON.parse(line) as TemplateEvent
}
async function all(lines: AsyncGenerator<string, void>): Promise<TemplateEvent[]> {
  const events: TemplateEvent[] = []
  for await (const line of lines) events.push(eventOf(line))
  return events
}
const shown = (event: TemplateEvent): string => (event.type === 'progress' ? `${event.step}: ${event.detail}` : event.type)

test('each step is told once, in order, and the end comes last', async () => {
  const { lines } = reading(async (tell) => {
    tell('image', 'a')
    tell('image', 'a')
    tell('seed', 'b')
    await Promise.resolve()
    tell('seed', 'c')
    return { template: TEMPLATE }
  })
  assert.deepEqual((await all(lines)).map(shown), ['image: a', 'seed: b', 'seed: c', 'done'])
  assert.deepEqual((await all(reading(async () => ({ removed: ['VM 9000'] })).lines)).at(-1), { type: 'abandoned', removed: ['VM 9000'] })
})

test('while nothing happens, the last step is told again, so that nobody takes the answer for dead', async () => {
  const end = Promise.withResolvers<void>()
  const { lines } = reading(
    async (tell) => {
      tell('install', 'it works')
      await end.promise
      return { template: TEMPLATE }
    },
    { aliveMs: 5 },
  )
  for (let count = 0; count < 4; count += 1) assert.equal(shown(eventOf((await lines.next()).value as string)), 'install: it works')
  end.resolve()
  assert.equal((await all(lines)).at(-1)?.type, 'done')
})

test('a failure is an event with its problem, and one of our own making says nothing of its inside', async () => {
  const fails = reading(async () => Promise.reject(new AutovibeError('substrate.failed', 'No room.', { fix: 'pvesm status' })))
  const event = (await all(fails.lines)).at(-1)
  assert.ok(event?.type === 'failed')
  assert.deepEqual([event.problem.code, event.problem.detail, event.problem.fix], ['substrate.failed', 'No room.', 'pvesm status'])
  const breaks = reading(async () => Promise.reject(new TypeError('secret=12345')))
  assert.ok(!JSON.stringify(await all(breaks.lines)).includes('12345'))
  assert.equal(breaks.errors.length, 1)
})

test('when nobody listens any more, the making ends before the answer does', async () => {
  const gone = new AbortController()
  let ended = false
  const { lines } = reading(
    async (tell) => {
      tell('install', 'it works')
      await new Promise((_, reject) => gone.signal.addEventListener('abort', () => reject(gone.signal.reason)))
      return { template: TEMPLATE }
    },
    { signal: gone.signal },
  )
  await lines.next()
  gone.abort(new Error('gone'))
  const event = eventOf((await lines.next()).value as string)
  ended = (await lines.next()).done === true
  assert.ok(event.type === 'failed' && event.problem.code === 'operation.cancelled' && ended)
})

test('a client that takes nothing for long gets the latest steps, not all', async () => {
  const { lines } = reading(async (tell) => {
    for (let count = 0; count < 1000; count += 1) tell('install', String(count))
    return { template: TEMPLATE }
  })
  const events = await all(lines)
  assert.ok(events.length <= 70)
  assert.deepEqual(events.slice(-2).map(shown), ['install: 999', 'done'])
})
