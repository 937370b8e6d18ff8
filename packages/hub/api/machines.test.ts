/** Machines: lists, names, waits, and what is asked of them. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { CreatedCheckpoint, Machine, Operation, OperationRef, Page, RollbackEffects } from '@autovibe/contract'
import { startTestApi } from './testing/test-api.ts'

const api = await startTestApi()
after(() => api.close())
const project = await api.project('p')

test('a list leaves destroyed machines out unless they are asked for', async () => {
  const other = await api.project('lists')
  const living = await api.machine(other, 'living', 'ready')
  const gone = await api.machine(other, 'gone', 'destroyed')
  const ids = async (query: string) => (await api.call<Page<Machine>>('GET', `/v1/machines?project=${other}${query}`)).body.items.map(({ id }) => id)
  assert.deepEqual(await ids(''), [living])
  assert.deepEqual(await ids('&all=true'), [gone, living])
  assert.deepEqual(await ids('&state=destroyed'), [gone])
  assert.deepEqual(await ids('&state=stopped'), [])
})

test('pages hold every machine once, whatever their size', async () => {
  const other = await api.project('pages')
  const made = []
  for (let index = 0; index < 25; index++) made.push(await api.machine(other, `page-${index}`))
  for (const limit of [1, 7, 24, 25, 1000]) {
    const seen: string[] = []
    let cursor: string | null = ''
    while (cursor !== null) {
      const url: string = `/v1/machines?project=${other}&limit=${limit}${cursor === '' ? '' : `&cursor=${cursor}`}`
      const { body } = await api.call<Page<Machine>>('GET', url)
      seen.push(...body.items.map(({ id }) => id))
      cursor = body.next_cursor
    }
    assert.deepEqual(seen, [...made].sort().reverse(), `limit ${limit}`)
  }
})

test('a name means the machine that lives; an id means that machine for ever', async () => {
  const old = await api.machine(project, 'reborn', 'destroyed')
  assert.equal((await api.call('GET', '/v1/machines/reborn')).status, 404)
  const young = await api.machine(project, 'reborn', 'ready')
  assert.equal((await api.call<Machine>('GET', '/v1/machines/reborn')).body.id, young)
  assert.equal((await api.call<Machine>('GET', `/v1/machines/${old}`)).body.state, 'destroyed')
})

test('a wait answers at once for what is reached, and for what can no longer be', async () => {
  const cases = [
    ['ready', 'ready'],
    ['running', 'ready'],
    ['destroyed', 'ready'],
    ['failed', 'ready'],
    ['stopped', 'ready'],
    ['stopped', 'stopped'],
    ['failed', 'destroyed'],
    ['destroyed', 'destroyed'],
  ] as const
  for (const [state, target] of cases) {
    const id = await api.machine(project, `wait-${state}-${target}`, state)
    const { status, body } = await api.call<Machine>('GET', `/v1/machines/${id}/wait?for=${target}&timeout=60`)
    assert.deepEqual([status, body.state], [200, state])
  }
})

test('a wait answers when the state comes, and not before', async () => {
  const id = await api.machine(project, 'coming', 'booting')
  let answered = false
  const waiting = api.call<Machine>('GET', '/v1/machines/coming/wait?for=ready&timeout=60').then((answer) => {
    answered = true
    return answer
  })
  await api.setMachineState(id, 'booting')
  assert.equal((await api.call<Machine>('GET', `/v1/machines/${id}/wait?for=ready&timeout=0`)).body.state, 'booting')
  assert.equal(answered, false)
  await api.setMachineState(id, 'ready')
  assert.equal((await waiting).body.state, 'ready')
})

test('a wait whose time is up answers with the state as it is', async () => {
  const id = await api.machine(project, 'slow', 'booting')
  const { status, body } = await api.call<Machine>('GET', `/v1/machines/${id}/wait?for=ready&timeout=0.05`)
  assert.deepEqual([status, body.state], [200, 'booting'])
})

test('stopping a machine makes an operation that can be followed, once', async () => {
  const id = await api.machine(project, 'to-stop', 'ready')
  const { status, body } = await api.call<OperationRef>('POST', '/v1/machines/to-stop/stop', { key: api.keys.user })
  assert.equal(status, 202)
  const operation = await api.call<Operation>('GET', `/v1/operations/${body.operation_id}`)
  assert.deepEqual([operation.body.kind, operation.body.machine_id, operation.body.state], ['stop-machine', id, 'pending'])
  assert.ok(operation.body.steps.length > 0)
  assert.equal((await api.call<Machine>('GET', '/v1/machines/to-stop')).body.operation_id, body.operation_id)
  const again = await api.call('POST', '/v1/machines/to-stop/stop')
  assert.deepEqual([again.status, again.body.code], [409, 'conflict.busy'])
  const listed = await api.call<Page<Operation>>('GET', `/v1/operations?machine=${id}`)
  assert.deepEqual(
    listed.body.items.map((item) => item.id),
    [body.operation_id],
  )
})

test('what a state does not allow is refused, and no operation is left', async () => {
  const id = await api.machine(project, 'still', 'stopped')
  for (const [verb, body] of [
    ['stop', undefined],
    ['checkpoints', {}],
  ] as const) {
    const answer = await api.call('POST', `/v1/machines/still/${verb}`, { body })
    assert.deepEqual([answer.status, answer.body.code], [409, 'conflict.state'], verb)
  }
  assert.deepEqual((await api.call<Page<Operation>>('GET', `/v1/operations?machine=${id}`)).body.items, [])
  assert.equal((await api.db.selectFrom('audit_log').select('seq').where('subject', '=', id).execute()).length, 0)
})

test('a checkpoint that is asked for is there at once, pending, with its operation', async () => {
  await api.machine(project, 'busy-bee', 'running')
  const { status, body } = await api.call<CreatedCheckpoint>('POST', '/v1/machines/busy-bee/checkpoints', { body: { label: 'before lunch' } })
  assert.equal(status, 202)
  assert.deepEqual([body.checkpoint.state, body.checkpoint.label, body.checkpoint.machine_name], ['pending', 'before lunch', 'busy-bee'])
})

test('what a rollback could not undo is shown for what can be gone back to, and is refused for what cannot', async () => {
  const id = await api.machine(project, 'going-back', 'running')
  const to = await api.checkpoint(id, { files: { 'project/a.txt': 'one\n' } })
  const look = (checkpoint: string, machine = 'going-back') => api.call<RollbackEffects>('GET', `/v1/machines/${machine}/rollback?to=${checkpoint}`)
  const { status, body } = await look(to)
  assert.deepEqual([status, body.machine_id, body.checkpoint_id, body.model_calls.total, body.egress.total, body.commands.total], [200, id, to, 0, 0, 0])
  assert.deepEqual((await api.call<Page<Operation>>('GET', `/v1/operations?machine=${id}`)).body.items, [])
  const elsewhere = await api.checkpoint(await api.machine(await api.project('elsewhere'), 'stranger'), { files: { 'project/a.txt': 'two\n' } })
  const pending = await api.checkpoint(id)
  await api.machine(project, 'gone-for-good', 'destroyed')
  const [gone] = (await api.call<Page<Machine>>('GET', '/v1/machines?state=destroyed')).body.items
  const codes = [look(elsewhere), look(api.runtime.newId('checkpoint')), look(pending), look(to, gone?.id), look('x')]
  assert.deepEqual(
    (await Promise.all(codes)).map(({ text }) => JSON.parse(text).code),
    ['not_found', 'not_found', 'checkpoint.not_verified', 'conflict.state', 'request.invalid'],
  )
})

test('destroy and rollback answer with their operation', async () => {
  const id = await api.machine(project, 'short-lived', 'ready')
  const to = await api.checkpoint(id, { files: { 'project/a.txt': 'one\n' } })
  const back = await api.call<OperationRef>('POST', '/v1/machines/short-lived/rollback', { body: { checkpoint: to } })
  assert.equal(back.status, 202)
  const destroyed = await api.call<OperationRef>('POST', '/v1/machines/short-lived/destroy')
  assert.equal(destroyed.status, 202)
  assert.equal((await api.call<Operation>('GET', `/v1/operations/${back.body.operation_id}`)).body.cancel_requested, true)
})
