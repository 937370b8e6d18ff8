/** What an exec waits for, and for how long: its person, its machine, a word, its end. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { EXEC_LIMITS } from '@autovibe/contract'
import { type Caller, type DoorGround, openDoorGround } from '../door/testing.ts'
import { systemRuntime } from '../runtime.ts'
import type { ExecTimes } from './hub-exec.ts'
import { commandLine } from './record.ts'
import { dialDoor, End, openPeople, type Person } from './testing.ts'

interface Scene {
  readonly ground: DoorGround
  readonly people: Person
  readonly one: Caller
}

const scenes: Scene[] = []
after(async () => {
  for (const { ground, people } of scenes) {
    await ground.close()
    await people.close()
  }
})

async function scene(times: Partial<ExecTimes>): Promise<Scene> {
  const ground = await openDoorGround(systemRuntime, times)
  const made = { ground, people: await openPeople(ground), one: await ground.registered() }
  scenes.push(made)
  return made
}

async function failureOf(person: End): Promise<readonly [string, string | undefined, number]> {
  const end = await person.end()
  assert.ok(end.type === 'failed')
  return [end.problem.code, end.problem.fix, end.exit_code]
}

test('a machine that does not dial, or dials and does not start, is not waited for without end', async () => {
  const { people, one } = await scene({ startMs: 50 })
  const person = await people.exec(one.id)
  assert.deepEqual(await failureOf(person), ['exec.unanswered', 'autovibe ps', 125])
  const next = await people.exec(one.id)
  const agent = await dialDoor(one, `/exec/${next.id}`)
  assert.deepEqual(await failureOf(next), ['exec.unanswered', 'autovibe ps', 125])
  if (agent instanceof End) await agent.closed
})

test('a command that nobody comes for gives its place back', async () => {
  const { ground, one } = await scene({ connectMs: 20 })
  const machine = { id: one.id, name: 'x', project_id: systemRuntime.newId('project') }
  const request = { command: [], tty: false, stdin: false, cwd: null, env: {}, size: null }
  const id = systemRuntime.newId('exec')
  ground.execs.reserve(one.id).fill({ id, ticket: 't', machine, actor: { keyId: systemRuntime.newId('apiKey'), name: 'a' }, request })
  assert.equal(ground.execs.size, 1)
  for (let looks = 0; looks < 10_000 && ground.execs.size > 0; looks++) await one.ask('GET', '/instructions')
  assert.throws(() => ground.execs.forClient(id, 't'), { code: 'not_found' })
})

for (const [name, times, what] of [
  ['that is silent for too long', { idleMs: 50 }, /neither said nor was told/],
  ['that runs for too long', { totalMs: 50 }, /ran for/],
] as const) {
  test(`a command ${name} is ended with the reason`, async () => {
    const { people, one } = await scene(times)
    const person = await people.exec(one.id)
    const agent = await dialDoor(one, `/exec/${person.id}`)
    const end = await person.end()
    assert.ok(end.type === 'failed' && end.problem.code === 'exec.limit')
    assert.match(end.problem.detail, what)
    if (agent instanceof End) await agent.closed
  })
}

test('a person who does not take the last word is cut off, so that the place is free again', async () => {
  const { ground, people, one } = await scene({ closeMs: 50 })
  const person = await people.exec(one.id)
  const agent = await dialDoor(one, `/exec/${person.id}`)
  assert.ok(agent instanceof End)
  agent.say({ type: 'started' })
  await person.until('the start', () => person.news.length > 0)
  person.socket.pause()
  agent.say({ type: 'exit', exit_code: 0, signal: null })
  await agent.closed
  for (let looks = 0; looks < 10_000 && ground.execs.size > 0; looks++) await one.ask('GET', '/instructions')
  assert.equal(ground.execs.size, 0)
  person.socket.terminate()
})

test('all commands of a Hub together have a bound too, and a place that is left is free', async () => {
  const { ground } = await scene({})
  const places = Array.from({ length: EXEC_LIMITS.inAll }, () => ground.execs.reserve(systemRuntime.newId('machine')))
  const another = systemRuntime.newId('machine')
  assert.throws(() => ground.execs.reserve(another), { code: 'request.rate_limited' })
  places[0]?.leave()
  places[0]?.leave()
  ground.execs.reserve(another).leave()
})

test('the end of the Hub is told to every person', async () => {
  const { ground, people, one } = await scene({})
  const person = await people.exec(one.id)
  const closing = ground.execs.close()
  assert.deepEqual(await failureOf(person), ['exec.broken', 'autovibe up', 125])
  await Promise.all([closing, person.closed])
})

test('the command line of the record is one line of bounded length', () => {
  assert.equal(commandLine(['ls', '-l', 'a b', 'x\ny']), String.raw`ls -l "a b" "x\ny"`)
  assert.equal(commandLine([]), '')
  assert.equal(commandLine(['x'.repeat(5000)]).length, 1001)
})
