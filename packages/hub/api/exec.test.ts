/** Asking for a command and opening its WebSocket, over a real server: who may, in which state, how many, and what each refusal says. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import { after, test } from 'node:test'
import { EXEC_LIMITS, EXEC_PROTOCOL, EXEC_TICKET_PREFIX, type Exec, type ExecId, ExecNews, type MachineState, type Problem } from '@autovibe/contract'
import { WebSocket } from 'ws'
import { startTestApi } from './testing/test-api.ts'

const api = await startTestApi()
const url = await api.app.listen({ host: '127.0.0.1', port: 0 })
const projectId = await api.project('exec')
after(() => api.close())

let made = 0
const machineIn = async (state: MachineState) => {
  const name = `exec-${++made}`
  return { name, id: await api.machine(projectId, name, state) }
}
const ask = <T = Exec>(machine: string, body: unknown = { command: ['true'] }, options: { key?: string | null; headers?: Record<string, string> } = {}) =>
  api.call<T>('POST', `/v1/machines/${machine}/exec`, { body, ...options })

const protocolsOf = (ticket: string): string[] => [EXEC_PROTOCOL, `${EXEC_TICKET_PREFIX}${ticket}`]
const open = async ({ id, ticket }: Exec): Promise<WebSocket> => {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/exec/${id}`, protocolsOf(ticket))
  await once(socket, 'open')
  return socket
}
/** What a handshake is refused with. */
const refused = (id: string, ticket: string): Promise<{ status: number; problem: Problem }> =>
  new Promise((resolve, reject) => {
    const headers = {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-key': Buffer.alloc(16).toString('base64'),
      'sec-websocket-version': '13',
      'sec-websocket-protocol': protocolsOf(ticket).join(', '),
    }
    const sent = request(`${url}/v1/exec/${id}`, { headers }, async (response) => {
      const text = (await response.toArray()).join('')
      resolve({ status: response.statusCode ?? 0, problem: JSON.parse(text) as Problem })
    })
    sent.on('upgrade', () => reject(new Error('the handshake went through')))
    sent.on('error', reject)
    sent.end()
  })

const nextNews = async (socket: WebSocket): Promise<ExecNews> => ExecNews.parse(JSON.parse(String((await once(socket, 'message'))[0])))

test('a command is asked for with a key, of a machine that is there, in a state in which its agent is', async () => {
  const { name } = await machineIn('ready')
  assert.equal((await ask(name, undefined, { key: null })).status, 401)
  assert.equal((await ask(name, undefined, { key: `avk_${'x'.repeat(43)}` })).status, 401)
  assert.equal((await ask('nobody')).status, 404)
  for (const state of ['stopped', 'failed', 'booting', 'stopping'] as const) {
    const machine = await machineIn(state)
    const { status, body } = await ask<Problem>(machine.name)
    assert.deepEqual([status, body.code], [409, 'conflict.state'])
    assert.equal(body.fix, ['stopped', 'failed'].includes(state) ? `autovibe machine start ${machine.name}` : 'autovibe ps')
  }
  for (const state of ['ready', 'running', 'paused', 'checkpointing'] as const) assert.equal((await ask((await machineIn(state)).name)).status, 201)
})

test('a request is checked member by member', async () => {
  const { name } = await machineIn('ready')
  for (const body of [
    { command: 'ls' },
    { env: { 'a b': 'c' } },
    { size: { rows: 0, cols: 1 } },
    { unknown: true },
    { command: ['x'.repeat(EXEC_LIMITS.commandBytes + 1)] },
  ]) {
    const { status, body: problem } = await ask<Problem>(name, body)
    assert.deepEqual([status, problem.code], [400, 'request.invalid'], JSON.stringify(body).slice(0, 80))
  }
})

test('the ask is audited by its key and carries nothing of the command', async () => {
  const { name, id } = await machineIn('ready')
  const { body } = await ask(name, { command: ['echo', 'private'], env: { SECRET: 'private' } })
  const row = await api.db.selectFrom('audit_log').selectAll().where('subject', '=', id).executeTakeFirstOrThrow()
  assert.deepEqual([row.action, row.detail], ['machine.exec', { exec: body.id, tty: false }])
})

test('so many commands may run in one machine, and another one only when one is over', async () => {
  const { name } = await machineIn('ready')
  const all = await Promise.all(Array.from({ length: EXEC_LIMITS.perMachine }, () => ask(name)))
  assert.deepEqual([...new Set(all.map(({ status }) => status))], [201])
  const { status, body } = await ask<Problem>(name)
  assert.deepEqual([status, body.code, body.retryable], [429, 'request.rate_limited', true])
  assert.equal((await ask((await machineIn('ready')).name)).status, 201)
  const socket = await open(all[0]?.body as Exec)
  socket.terminate()
  await until(async () => (await ask(name)).status === 201)
})

test('a repeat with the same Idempotency-Key gets the first command, and takes no second place', async () => {
  const { name } = await machineIn('ready')
  const before = api.execs.size
  const headers = { 'idempotency-key': 'one-command' }
  const [first, second] = [await ask(name, {}, { headers }), await ask(name, {}, { headers })]
  assert.deepEqual(second.body, first.body)
  assert.equal(api.execs.size, before + 1)
})

test('a WebSocket is opened by the ticket alone, and only once', async () => {
  const { name } = await machineIn('ready')
  const { body: exec } = await ask(name)
  const wrong = await refused(exec.id, 'x'.repeat(exec.ticket.length))
  assert.deepEqual([wrong.status, wrong.problem.code], [401, 'auth.missing'])
  assert.equal((await refused(exec.id, '')).status, 401)
  assert.equal((await refused(`exe_${'0'.repeat(26)}`, exec.ticket)).status, 404)
  assert.equal((await refused('..%2f..', exec.ticket)).status, 404)
  const socket = await open(exec)
  assert.equal(socket.protocol, EXEC_PROTOCOL)
  assert.equal((await refused(exec.id, exec.ticket)).status, 404)
  socket.terminate()
})

test('a plain request to the place of the WebSocket is told so, also when it offers HTTP/2', async () => {
  const { name } = await machineIn('ready')
  const { body: exec } = await ask(name)
  const response = await fetch(`${url}/v1/exec/${exec.id}`, { headers: { authorization: `Bearer ${api.keys.user}` } })
  assert.deepEqual([response.status, ((await response.json()) as Problem).code], [400, 'request.invalid'])
  const offering = request(`${url}/v1/health`, { headers: { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': '' } }).end()
  const [answer] = await once(offering, 'response')
  assert.equal(answer.statusCode, 200)
  answer.resume()
})

test('a machine that was stopped in between is told of as in the first answer', async () => {
  const { name, id } = await machineIn('ready')
  const { body: exec } = await ask(name)
  await api.setMachineState(id, 'stopped')
  const news = await nextNews(await open(exec))
  assert.ok(news.type === 'failed')
  assert.deepEqual([news.exit_code, news.problem.code, news.problem.fix], [125, 'conflict.state', `autovibe machine start ${name}`])
})

test('the events tell of the end of a command that never began, and why', async () => {
  const { name, id } = await machineIn('ready')
  const { body: exec } = await ask(name, { command: ['echo', 'two words'], tty: true })
  const socket = await open(exec)
  socket.terminate()
  const event = await until(() => api.db.selectFrom('events').selectAll().where('type', '=', 'exec.ended').where('machine_id', '=', id).executeTakeFirst())
  const { exec_id, command, tty, reason, exit_code } = event.data
  assert.deepEqual([exec_id as ExecId, command, tty, reason, exit_code], [exec.id, 'echo "two words"', true, 'client_gone', null])
})

/** Looks again until there is something; each look is an exchange, so that others have their turn. */
async function until<T>(look: () => Promise<T | undefined | false>): Promise<T> {
  for (let looks = 0; looks < 2_000; looks++) {
    const found = await look()
    if (found) return found
  }
  throw new Error('it did not come')
}
