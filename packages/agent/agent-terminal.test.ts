/** Terminals in a real agent: what runs in one sees a terminal of the right kind and size, and its keys. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { CreateExec } from '@autovibe/contract'
import { encodeId } from '@autovibe/core/ids.ts'
import type { End } from '../hub/exec/testing.ts'
import { findProgram } from './exec/terminal.ts'
import { TestMachine } from './test/machine.ts'

const NOTHING = 'conversations: [{ replies: [{ text: done }] }]'
const skip = findProgram('script', process.env['PATH'] ?? '') === undefined && 'this host has no program script (util-linux)'
let machine: TestMachine
const closers: (() => unknown)[] = []

before(async () => {
  machine = await TestMachine.start({ after: (close: () => unknown) => void closers.push(close) } as never, NOTHING)
})
after(async () => {
  for (const close of closers) await close()
})

async function terminal(command: string[], more: Partial<CreateExec> = {}): Promise<End> {
  const { door } = machine
  const id = encodeId('exec', door.dialled.length, randomBytes(10))
  door.wish({ execs: [id] })
  const found = () => door.dialled.find(({ path }) => path.endsWith(id))?.end
  await door.until('the agent to dial', () => found() !== undefined)
  const end = found() as End
  end.say({ type: 'start', ...CreateExec.parse({ command, tty: true, stdin: true, ...more }) })
  return end
}
const seen = (end: End, what: RegExp): Promise<void> => end.until(String(what), () => what.test(end.text('stdout')))
const key = (end: End, keys: string): void => end.send('stdin', Buffer.from(keys))
async function exitCode(end: End): Promise<unknown> {
  const last = () => end.news.find(({ type }) => type === 'exit' || type === 'refused')
  await end.until('its end', () => last() !== undefined)
  end.socket.terminate()
  return last()?.['exit_code'] ?? last()
}

test('a command in a terminal has a device, a size, a type, its words as they were and its exit code', { skip }, async () => {
  const words = ["it's", 'two words', '$HOME', '\\n', '']
  const script = 'tty; stty size; echo "$TERM $SHELL"; printf "<%s>" "$@"; echo beside >&2; exit 4'
  const end = await terminal(['sh', '-c', script, 'sh', ...words], { size: { rows: 33, cols: 77 }, env: { TERM: 'xterm', SHELL: '/bin/false' } })
  assert.equal(await exitCode(end), 4)
  const [device, size, type, ...rest] = end.text('stdout').split('\r\n')
  assert.match(device ?? '', /^\/dev\/pts\/\d+$/)
  assert.deepEqual([size, type, rest.join('')], ['33 77', 'xterm /bin/false', "<it's><two words><$HOME><\\n><>beside"])
  assert.equal(end.text('stderr'), '')
})

test('a change of the size is seen by what runs, the newest one last', { skip }, async () => {
  // Some shells hear of a signal only between two commands.
  const end = await terminal(['sh', '-c', 'trap "stty size" WINCH; echo ready; while [ ! -e sized ]; do sleep 0.05; done; read line; echo "read $line"; cat'])
  await seen(end, /ready/)
  for (let rows = 30; rows <= 40; rows++) end.say({ type: 'resize', rows, cols: 100 })
  await seen(end, /40 100/)
  machine.write('sized', '')
  key(end, 'word\n')
  await seen(end, /word\r\nread word/)
  key(end, '\u0004')
  assert.equal(await exitCode(end), 0)
})

test('Ctrl-C is a key that ends what has the terminal, and so is the signal by its name', { skip }, async () => {
  for (const press of [(end: End) => key(end, '\u0003'), (end: End) => end.say({ type: 'signal', name: 'SIGINT' })]) {
    const end = await terminal(['sh', '-c', 'echo ready; exec sleep 1000'])
    await seen(end, /ready/)
    press(end)
    assert.equal(await exitCode(end), 130)
  }
})

test('a shell is what one gets without a command, with jobs and an end', { skip }, async () => {
  const end = await terminal([])
  // Said by what Ctrl-C is meant for, since the shell itself may miss it on its way there; and said otherwise than it was typed, which is seen too.
  key(end, `sh -c 'echo be""gun; exec sleep 1000'\n`)
  await seen(end, /begun\r\n/)
  key(end, '\u0003')
  await seen(end, /\^C/)
  key(end, 'echo $((6*7)); exit 9\n')
  await seen(end, /[\n\r]42\r\n/)
  assert.equal(await exitCode(end), 9)
})

test('a terminal without input stays open for its command', { skip }, async () => {
  const end = await terminal(['sh', '-c', 'stty size; sleep 0.2; echo over'], { stdin: false })
  assert.equal(await exitCode(end), 0)
  assert.equal(end.text('stdout'), '24 80\r\nover\r\n')
})
