import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { AutovibeError, EXEC_LIMITS } from '@autovibe/contract'
import { End } from '../hub/exec/testing.ts'
import { acceptUpgrade } from '../hub/exec/upgrade.ts'
import { Autovibe } from './client.ts'
import { ExecError } from './exec.ts'
import { json, problem } from './testing.ts'

const ID = `exe_${'0'.repeat(26)}`

/** A Hub that grants every command and leaves its WebSocket to the test. */
async function startHub(t: TestContext) {
  const opened: { end: End; protocols: string | undefined; url: string | undefined }[] = []
  const server = createServer((_request, response) => json(response, { id: ID, machine_id: 'mch_x', ticket: 'the-ticket', expires_at: '' }, 201))
  server.on('upgrade', (request, socket, head) =>
    acceptUpgrade(request, socket, head, (webSocket) => {
      opened.push({ end: new End(webSocket), protocols: request.headers['sec-websocket-protocol'], url: request.url })
    }),
  )
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.after(() => {
    for (const { end } of opened) end.socket.terminate()
    server.closeAllConnections()
    server.close()
  })
  const client = new Autovibe({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, key: 'avk_test' })
  const exec = async (request: Parameters<typeof client.machines.exec>[1], signal?: AbortSignal) => {
    const process = await client.machines.exec('m', request, { signal })
    return { process, hub: opened.at(-1)?.end as End }
  }
  return { exec, opened, client }
}
const textOf = async (stream: ReadableStream<Uint8Array>): Promise<string> => Buffer.concat(await Array.fromAsync(stream)).toString()

test('a command is opened by its ticket, its streams end with it, and its exit code is known', async (t) => {
  const { exec, opened } = await startHub(t)
  const { process, hub } = await exec({ command: ['x'] })
  assert.deepEqual([opened[0]?.url, opened[0]?.protocols], [`/v1/exec/${ID}`, 'autovibe.exec.v1, ticket.the-ticket'])
  hub.say({ type: 'started' })
  hub.send('stdout', Buffer.from('out'))
  hub.send('stderr', Buffer.from('beside'))
  hub.say({ type: 'exit', exit_code: 3, signal: null })
  await process.started
  assert.deepEqual([await textOf(process.stdout), await textOf(process.stderr)], ['out', 'beside'])
  assert.deepEqual(await process.exit, { exitCode: 3, signal: null })
  await hub.closed
  assert.equal(hub.news[0]?.['type'], 'stdin_end', 'input that was not asked for is over at once')
})

test('what is read is granted again, and only that; what is cancelled is granted as it comes', async (t) => {
  const { exec } = await startHub(t)
  const { process, hub } = await exec({ command: ['x'], stdin: true })
  const granted = (stream: string) =>
    hub.news.filter((news) => news['type'] === 'credit' && news['stream'] === stream).reduce((sum, news) => sum + Number(news['bytes']), 0)
  await process.stderr.cancel()
  hub.send('stdout', Buffer.alloc(1000))
  hub.send('stdout', Buffer.alloc(500))
  hub.send('stderr', Buffer.alloc(700))
  await hub.until('the grant of what nobody wants', () => granted('stderr') === 700)
  assert.equal(granted('stdout'), 0)
  const reader = process.stdout.getReader()
  assert.equal((await reader.read()).value?.length, 1000)
  await hub.until('the first grant', () => granted('stdout') === 1000)
  process.signal('SIGTERM')
  await hub.until('the signal', () => hub.news.some(({ type }) => type === 'signal'))
  assert.equal(granted('stdout'), 1000)
})

test('input goes as far as it is granted, and its end comes behind it', async (t) => {
  const { exec } = await startHub(t)
  const { process, hub } = await exec({ command: ['x'], stdin: true })
  const got = () => Buffer.concat(hub.data.stdin).length
  const writer = process.stdin.getWriter()
  const wrote = writer.write(new Uint8Array(EXEC_LIMITS.windowBytes + 10)).then(() => writer.close())
  await hub.until('a full window', () => got() === EXEC_LIMITS.windowBytes)
  assert.ok(hub.data.stdin.every((frame) => frame.length <= EXEC_LIMITS.dataBytes))
  process.resize({ rows: 1, cols: 2 })
  await hub.until('a word behind it', () => hub.news.some(({ type }) => type === 'resize'))
  assert.equal(got(), EXEC_LIMITS.windowBytes)
  hub.say({ type: 'credit', stream: 'stdin', bytes: 10 })
  await wrote
  await hub.until('the end', () => hub.news.some(({ type }) => type === 'stdin_end'))
  assert.equal(got(), EXEC_LIMITS.windowBytes + 10)
})

test('a failure is told with its exit code, a broken connection as such, and input is then written to nobody', async (t) => {
  const { exec } = await startHub(t)
  const failed = await exec({ command: ['x'], stdin: true })
  failed.hub.say({ type: 'failed', problem: problem('exec.not_started', 400, { fix: 'mend it' }), exit_code: 127 })
  const told = await failed.process.exit.catch((error: unknown) => error)
  assert.ok(told instanceof ExecError && told instanceof AutovibeError)
  assert.deepEqual([told.code, told.fix, told.commandExitCode], ['exec.not_started', 'mend it', 127])
  await assert.rejects(failed.process.started, told)
  assert.equal(await textOf(failed.process.stdout), '')
  await failed.process.stdin.getWriter().write(new Uint8Array(EXEC_LIMITS.windowBytes * 2))

  const broken = await exec({ command: ['x'] })
  broken.hub.socket.terminate()
  await assert.rejects(broken.process.exit, { code: 'exec.broken', commandExitCode: 125 })
})

test('the signal of the caller lets go of the command with its own reason', async (t) => {
  const { exec } = await startHub(t)
  const [leaving, reason] = [new AbortController(), new Error('enough')]
  const { process, hub } = await exec({ command: ['x'] }, leaving.signal)
  leaving.abort(reason)
  await assert.rejects(process.exit, reason)
  await hub.closed
})

test('a Hub whose WebSocket cannot be opened is unreachable', async (t) => {
  const server = createServer((_request, response) => json(response, { id: ID, machine_id: 'mch_x', ticket: 't', expires_at: '' }, 201))
  server.on('upgrade', (_request, socket) => socket.end('HTTP/1.1 404 Refused\r\ncontent-length: 0\r\n\r\n'))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.after(() => void server.close())
  const client = new Autovibe({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, key: 'avk_test' })
  await assert.rejects(client.machines.exec('m'), { code: 'hub.unreachable' })
})
