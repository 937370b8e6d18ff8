/** The machine's side of an exec over real sockets: who may dial for what, and what a hostile agent gets for what it says. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { EXEC_LIMITS, type Instructions, type MachineId } from '@autovibe/contract'
import { dialDoor, End, openPeople } from '../exec/testing.ts'
import { systemRuntime } from '../runtime.ts'
import { type Caller, openDoorGround } from './testing.ts'

const ground = await openDoorGround(systemRuntime, { closeMs: 2_000 })
const people = await openPeople(ground)
after(async () => {
  await ground.close()
  await people.close()
})

async function dialled(one: Caller, path: string): Promise<End> {
  const end = await dialDoor(one, path)
  assert.ok(end instanceof End, `refused with ${end}`)
  return end
}

/** A command that has started, and both its ends. */
async function started(request = {}) {
  const one = await ground.registered()
  const person = await people.exec(one.id, { command: ['it'], ...request })
  const agent = await dialled(one, `/exec/${person.id}`)
  agent.say({ type: 'started' })
  await person.until('the start', () => person.news.length > 0)
  return { one, person, agent }
}

const eventsOf = async (id: MachineId) =>
  (
    await ground.database.db
      .selectFrom('events')
      .selectAll()
      .where('machine_id', '=', id)
      .where('type', 'in', ['exec.started', 'exec.ended'])
      .orderBy('seq')
      .execute()
  ).map(({ type, data }) => ({ type, ...data }) as Record<string, unknown>)

test('a machine hears of a command as soon as its person is there, and no longer once it has dialled', async () => {
  const one = await ground.registered()
  const { body: first } = await one.ask<Instructions>('GET', '/instructions')
  assert.deepEqual(first.execs, [])
  const waiting = one.ask<Instructions>('GET', `/instructions?after=${first.revision}&wait=25`)
  const person = await people.exec(one.id, { command: ['echo', 'hi'], env: { A: '1' } })
  assert.deepEqual((await waiting).body.execs, [person.id])
  assert.equal((await waiting).body.control, first.control)
  const agent = await dialled(one, `/exec/${person.id}`)
  assert.deepEqual((await one.ask<Instructions>('GET', '/instructions')).body.execs, [])
  await agent.until('the order', () => agent.news.length > 0)
  assert.deepEqual(agent.news, [{ type: 'start', command: ['echo', 'hi'], tty: false, stdin: false, cwd: null, env: { A: '1' }, size: null }])
  person.socket.terminate()
  await agent.closed
})

test('both ends are joined until the exit, and the record has who, what and how much, and nothing of what was said', async () => {
  const { one, person, agent } = await started({ stdin: true, command: ['cat', 'a b'] })
  person.send('stdin', Buffer.from('into it'))
  person.say({ type: 'stdin_end' })
  await agent.until('the end of the input', () => agent.news.some(({ type }) => type === 'stdin_end'))
  assert.equal(agent.text('stdin'), 'into it')
  agent.say({ type: 'credit', stream: 'stdin', bytes: 7 })
  agent.send('stdout', Buffer.from('out of it'))
  agent.send('stderr', Buffer.from('and beside'))
  agent.say({ type: 'exit', exit_code: 3, signal: null })
  assert.deepEqual(await person.end(), { type: 'exit', exit_code: 3, signal: null })
  assert.deepEqual([person.text('stdout'), person.text('stderr')], ['out of it', 'and beside'])
  await agent.closed
  person.socket.close()
  await person.closed
  await ground.execs.close()
  const [begin, end, ...more] = await eventsOf(one.id)
  assert.deepEqual(more, [])
  assert.deepEqual([begin?.['type'], begin?.['command'], begin?.['actor_name'], begin?.['tty']], ['exec.started', 'cat "a b"', 'somebody', false])
  const { duration_ms, actor, ...known } = end ?? {}
  assert.ok(Number.isInteger(duration_ms) && String(actor).startsWith('key_'))
  const bytes = { stdin_bytes: 7, stdout_bytes: 9, stderr_bytes: 10 }
  assert.deepEqual(known, {
    type: 'exec.ended',
    exec_id: person.id,
    actor_name: 'somebody',
    command: 'cat "a b"',
    tty: false,
    exit_code: 3,
    signal: null,
    reason: null,
    ...bytes,
  })
})

test('nobody dials without the token, for what is not there, for another machine, or twice', async () => {
  const [one, other] = [await ground.registered(), await ground.registered()]
  const person = await people.exec(one.id)
  const path = `/exec/${person.id}`
  assert.equal(await dialDoor(one, path, ''), 401)
  assert.equal(await dialDoor(one, path, other.token), 401)
  assert.equal(await dialDoor(other, path), 404)
  assert.equal(await dialDoor(one, `/exec/exe_${'0'.repeat(26)}`), 404)
  assert.equal(await dialDoor(one, '/exec/../../v1'), 404)
  assert.equal(await dialDoor(one, '/heartbeat'), 404)
  const agent = await dialled(one, path)
  assert.equal(await dialDoor(one, path), 409)
  agent.say({ type: 'exit', exit_code: 0, signal: null })
  assert.equal((await person.end()).type, 'failed', 'it ended before it began')
})

test('a machine that was destroyed meanwhile cannot dial with its old token', async () => {
  const one = await ground.registered()
  const person = await people.exec(one.id)
  await ground.database.db.updateTable('machines').set({ token_hash: null }).where('id', '=', one.id).execute()
  assert.equal(await dialDoor(one, `/exec/${person.id}`), 401)
  person.socket.terminate()
})

const HOSTILE: Readonly<Record<string, (agent: End) => void>> = {
  'a frame that is too large': (agent) => agent.socket.send(Buffer.alloc(EXEC_LIMITS.dataBytes + 2, 1)),
  'words without end': (agent) => agent.socket.send(`{"type":"${'x'.repeat(EXEC_LIMITS.dataBytes)}"}`),
  'more than was granted': (agent) => {
    for (let sent = 0; sent <= EXEC_LIMITS.windowBytes; sent += EXEC_LIMITS.dataBytes) agent.send('stdout', Buffer.alloc(EXEC_LIMITS.dataBytes))
  },
  'data of a stream that is not its own': (agent) => agent.send('stdin', Buffer.from('x')),
  'an empty frame': (agent) => agent.socket.send(Buffer.alloc(0)),
  'a second start': (agent) => agent.say({ type: 'started' }),
  'an exit code that is none': (agent) => agent.say({ type: 'exit', exit_code: 1e9, signal: null }),
  'a signal that is an escape sequence': (agent) => agent.say({ type: 'exit', exit_code: 1, signal: '\u001b]0;x\u0007' }),
  'a word of the Hub': (agent) => agent.say({ type: 'failed', problem: {}, exit_code: 0 }),
  'a grant for nothing': (agent) => agent.say({ type: 'credit', stream: 'stdin', bytes: 1 }),
  'what is not UTF-8': (agent) => agent.socket.send(Buffer.from([0xff, 0xfe]), { binary: false }),
  'an end without a word': (agent) => agent.socket.terminate(),
}
for (const [name, say] of Object.entries(HOSTILE)) {
  test(`a machine that says ${name} loses the command, and its person is told`, async () => {
    const { person, agent } = await started({ stdin: true })
    say(agent)
    const end = await person.end()
    assert.ok(end.type === 'failed')
    assert.deepEqual([end.problem.code, end.exit_code], ['exec.broken', 125])
    await agent.closed
  })
}

test('a refusal of the machine reaches the person with the exit code for it', async () => {
  const one = await ground.registered()
  const person = await people.exec(one.id)
  const agent = await dialled(one, `/exec/${person.id}`)
  agent.say({ type: 'refused', why: 'no_program', message: 'There is no program it.' })
  const end = await person.end()
  assert.ok(end.type === 'failed')
  assert.deepEqual([end.problem.code, end.problem.detail, end.exit_code], ['exec.not_started', 'There is no program it.', 127])
})

test('a person who breaks the rules is told, and the machine is let go', async () => {
  for (const say of [
    (person: End) => person.say({ type: 'shout' }),
    (person: End) => person.send('stdin', Buffer.from('x')),
    (person: End) => person.socket.send('{'),
  ]) {
    const { person, agent } = await started()
    say(person)
    const end = await person.end()
    assert.ok(end.type === 'failed')
    assert.equal(end.problem.code, 'request.invalid')
    await agent.closed
  }
})

test('a person who leaves ends the command, and makes room for another', async () => {
  const { one, person, agent } = await started()
  person.socket.terminate()
  await agent.closed
  const again = await people.exec(one.id)
  again.socket.terminate()
})
