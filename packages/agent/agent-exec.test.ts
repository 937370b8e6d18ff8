/** Commands of people in a real agent: started, spoken with, and ended with all that they started. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { CreateExec, EXEC_LIMITS } from '@autovibe/contract'
import { encodeId } from '@autovibe/core/ids.ts'
import type { End } from '../hub/exec/testing.ts'
import { TOKEN } from './test/door-server.ts'
import { TestMachine } from './test/machine.ts'
import { SLOW } from './test/scripts.ts'

const NOTHING = 'conversations: [{ replies: [{ text: done }] }]'
let made = 0

/** Has the agent dial for a command, and orders it. */
async function exec(machine: TestMachine, request: Partial<CreateExec>): Promise<End> {
  const { door } = machine
  const id = encodeId('exec', ++made, randomBytes(10))
  door.wish({ execs: [id] })
  const found = () => door.dialled.find(({ path }) => path === `/door/exec/${id}`)?.end
  await door.until('the agent to dial', () => found() !== undefined)
  door.wish({ execs: [] })
  const end = found() as End
  end.say({ type: 'start', ...CreateExec.parse(request) })
  return end
}

const sh = (script: string): string[] => ['sh', '-c', script]
const word = (end: End, type: string) => end.news.find((each) => each['type'] === type)

/** How it ended; as the Hub does, the connection is closed then. */
async function exitOf(end: End): Promise<Record<string, unknown> | undefined> {
  const last = () => word(end, 'exit') ?? word(end, 'refused')
  await end.until('its end', () => last() !== undefined)
  end.socket.terminate()
  return last()
}

const isAlive = (pid: number): boolean => {
  try {
    // A zombie has ended; nobody has asked for it yet.
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}
const start = (t: TestContext) => TestMachine.start(t, NOTHING)

test('a command has its two outputs apart, its exit code, the project as its folder, and nothing that leads to the Hub', async (t) => {
  const machine = await start(t)
  const end = await exec(machine, { command: sh('env; pwd; echo beside >&2; exit 3'), env: { MINE: 'a b' } })
  assert.deepEqual(await exitOf(end), { type: 'exit', exit_code: 3, signal: null })
  const out = end.text('stdout')
  assert.ok(out.includes('\nMINE=a b\n') && out.endsWith(`\n${machine.project}\n`), out)
  assert.equal(end.text('stderr'), 'beside\n')
  assert.doesNotMatch(out, new RegExp(`${TOKEN}|AUTOVIBE_(TREE|SOCKET|TOKEN|AGENTS)|^NODE_`, 'm'))
})

test('binary input arrives whole, is granted as it is taken, and ends', async (t) => {
  const machine = await start(t)
  const input = randomBytes(EXEC_LIMITS.windowBytes)
  const end = await exec(machine, { command: ['sha256sum'], stdin: true })
  for (let at = 0; at < input.length; at += EXEC_LIMITS.dataBytes) end.send('stdin', input.subarray(at, at + EXEC_LIMITS.dataBytes))
  end.say({ type: 'stdin_end' })
  assert.equal((await exitOf(end))?.['exit_code'], 0)
  assert.equal(end.text('stdout'), `${createHash('sha256').update(input).digest('hex')}  -\n`)
  const granted = end.news.filter(({ type }) => type === 'credit').reduce((sum, { bytes }) => sum + Number(bytes), 0)
  assert.equal(granted, input.length)
})

test('input that nobody reads is granted all the same, and input that was not asked for is empty', async (t) => {
  const machine = await start(t)
  const deaf = await exec(machine, { command: sh('exec <&-; echo deaf; while [ ! -e go ]; do sleep 0.05; done'), stdin: true })
  await deaf.until('the command', () => deaf.text('stdout') === 'deaf\n')
  for (let frames = 0; frames < 4; frames++) deaf.send('stdin', Buffer.alloc(EXEC_LIMITS.dataBytes))
  const granted = () => deaf.news.filter(({ type }) => type === 'credit').reduce((sum, { bytes }) => sum + Number(bytes), 0)
  await deaf.until('the grants', () => granted() === EXEC_LIMITS.windowBytes)
  machine.write('go', '')
  assert.equal((await exitOf(deaf))?.['exit_code'], 0)
  assert.equal((await exitOf(await exec(machine, { command: ['cat'] })))?.['exit_code'], 0)
})

test('a signal reaches the command, and one that ends it is told by number and name', async (t) => {
  const machine = await start(t)
  const traps = await exec(machine, { command: sh("trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.05; done") })
  await traps.until('ready', () => traps.text('stdout') === 'ready\n')
  traps.say({ type: 'signal', name: 'SIGINT' })
  assert.equal((await exitOf(traps))?.['exit_code'], 7)
  assert.equal(traps.text('stdout'), 'ready\ncaught\n')
  const dies = await exec(machine, { command: ['sleep', '1000'] })
  await dies.until('the start', () => word(dies, 'started') !== undefined)
  dies.say({ type: 'signal', name: 'SIGTERM' })
  assert.deepEqual(await exitOf(dies), { type: 'exit', exit_code: 143, signal: 'SIGTERM' })
})

test('what cannot be started is refused with the reason', async (t) => {
  const machine = await start(t)
  machine.write('plain.txt', 'no program')
  const why = async (request: Partial<CreateExec>) => (await exitOf(await exec(machine, request)))?.['why']
  assert.equal(await why({ command: ['no-such-program'] }), 'no_program')
  assert.equal(await why({ command: [join(machine.project, 'plain.txt')] }), 'not_executable')
  assert.equal(await why({ command: ['ls'], cwd: 'nowhere' }), 'no_folder')
  assert.equal(await why({ command: ['ls'], cwd: 'plain.txt' }), 'no_folder')
  const bin = join(machine.folder, 'bin')
  mkdirSync(bin)
  symlinkSync('/bin/sh', join(bin, 'sh'))
  assert.equal(await why({ command: ['sh'], tty: true, env: { PATH: bin } }), 'no_terminal')
})

test('output goes as far as it is granted and no further; the command stands still meanwhile', async (t) => {
  const machine = await start(t)
  const end = await exec(machine, { command: sh('head -c 1000000 /dev/zero; echo all > written') })
  const got = () => Buffer.concat(end.data.stdout).length
  await end.until('a full window', () => got() === EXEC_LIMITS.windowBytes)
  // Another command comes and goes, so that there was time for more.
  assert.equal((await exitOf(await exec(machine, { command: ['true'] })))?.['exit_code'], 0)
  assert.deepEqual([got(), existsSync(join(machine.project, 'written'))], [EXEC_LIMITS.windowBytes, false])
  end.say({ type: 'credit', stream: 'stdout', bytes: 1000 })
  await end.until('what was granted', () => got() === EXEC_LIMITS.windowBytes + 1000)
  // From now on as a person does: what has arrived is granted again.
  let granted = 1000
  const grant = (): void => {
    if (granted < got()) end.say({ type: 'credit', stream: 'stdout', bytes: got() - granted })
    granted = got()
  }
  end.socket.on('message', grant)
  grant()
  assert.equal((await exitOf(end))?.['exit_code'], 0)
  assert.equal(got(), 1_000_000)
})

test('a command whose person is gone is told, and then ended with what left its group and does not want to hear', async (t) => {
  const machine = await start(t)
  const script =
    "trap '' HUP TERM; (setsid sh -c 'trap \"\" HUP TERM; echo $$ > away; while :; do sleep 0.05; done' &); echo $$ > here; while :; do sleep 0.05; done"
  const end = await exec(machine, { command: sh(script) })
  const pids = () => ['here', 'away'].map((name) => Number(existsSync(join(machine.project, name)) ? machine.read(name) : 0))
  await machine.door.until('both processes', () => pids().every((pid) => pid > 0))
  const [here = 0, away = 0] = pids()
  assert.deepEqual([isAlive(here), isAlive(away)], [true, true])
  end.socket.terminate()
  await machine.door.until('their end', () => !isAlive(here) && !isAlive(away))
})

test('what a command leaves in the background ends with it, and does not hold its end back', async (t) => {
  const machine = await start(t)
  const end = await exec(machine, { command: sh('sleep 1000 & echo $!; exit 5') })
  assert.equal((await exitOf(end))?.['exit_code'], 5)
  const pid = Number(end.text('stdout'))
  await machine.door.until('its end', () => !isAlive(pid))
})

test('the end of the agent is the end of the commands in its machine', async (t) => {
  const machine = await start(t)
  const end = await exec(machine, { command: sh('echo $$; exec sleep 1000') })
  await end.until('the command', () => end.text('stdout').endsWith('\n'))
  const pid = Number(end.text('stdout'))
  await machine.terminate()
  await machine.door.until('its end', () => !isAlive(pid))
})

test('a command is taken up once, whatever else is wished meanwhile', async (t) => {
  const machine = await start(t)
  const { door } = machine
  const id = encodeId('exec', ++made, randomBytes(10))
  door.wish({ execs: [id] })
  door.wish({ control: 'park' })
  await door.until('the agent to dial', () => door.dialled.length > 0)
  door.wish({ control: 'idle' })
  const other = await exec(machine, { command: ['true'] })
  assert.equal((await exitOf(other))?.['exit_code'], 0)
  assert.equal(door.dialled.filter(({ path }) => path.endsWith(id)).length, 1)
})

test('a command runs beside the run of the agent, and does not keep the machine from being quiet', async (t) => {
  const machine = await TestMachine.start(t, SLOW)
  const { door } = machine
  door.wish({ control: 'go', run: machine.run() })
  await door.until('the tool', () => existsSync(join(machine.project, 'started')))
  const end = await exec(machine, { command: sh('echo here; while [ ! -e over ]; do sleep 0.05; done') })
  await end.until('the command', () => end.text('stdout') === 'here\n')
  door.wish({ control: 'quiesce' })
  machine.write('go', '')
  await door.until('quiet', () => door.heartbeats.some(({ quiet }) => quiet))
  assert.equal(word(end, 'exit'), undefined)
  machine.write('over', '')
  assert.equal((await exitOf(end))?.['exit_code'], 0)
  door.wish({ control: 'go' })
  await door.until('the final report', () => door.finalReport !== undefined)
})
