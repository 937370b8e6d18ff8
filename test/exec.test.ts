/** autovibe exec through the real command, Hub and machine: what passes through, what is refused, and what is left behind. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Checkpoint, ExecId, MachineId } from '@autovibe/contract'
import { z } from 'zod'
import { findProgram, Resizer, terminalCommand } from '../packages/agent/exec/terminal.ts'
import type { Place } from './support/command.ts'
import { openScriptedPlace, type ScriptedPlace } from './support/scripted-place.ts'
import { until } from './support/until.ts'

const MAIN = fileURLToPath(new URL('../packages/cli/main.ts', import.meta.url))
const SCRIPT = `
conversations:
  - match: Look around
    replies:
      - { text: Done. }
`
const PATH = process.env['PATH'] ?? ''
const Said = z.strictObject({
  exec_id: ExecId,
  machine_id: MachineId,
  exit_code: z.int(),
  signal: z.string().nullable(),
  duration_ms: z.int(),
  stdout: z.string().optional(),
  stdout_base64: z.string().optional(),
  stdout_left_out_bytes: z.int(),
  stderr: z.string().optional(),
  stderr_left_out_bytes: z.int(),
})

let scripted: ScriptedPlace
let place: Place
let machine: string

before(async () => {
  scripted = await openScriptedPlace({ name: 'look.yaml', text: SCRIPT })
  place = scripted.place
  const ran = await place.run(['run', 'Look around', '--project', scripted.repository.path, '--provider', 'scripted', '--budget', '1'])
  assert.equal(ran.code, 0, ran.stderr)
  const [made] = await (await place.client()).machines.list().take(1)
  machine = made?.name ?? ''
})
after(() => scripted.close())

const inside = (script: string, ...options: string[]) => place.run(['exec', ...options, machine, '--', 'sh', '-c', script])
const isThere = async (path: string): Promise<boolean> => (await inside(`test -e ${path}`)).code === 0
const soon = (what: string, look: () => Promise<boolean>): Promise<true> => until(what, 60_000, async () => (await look()) || undefined)
/** The command lines of all that runs in the machine. */
const processes = async (): Promise<string> => (await inside('cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" " "')).stdout

test('the exit code passes through, and the two outputs stay apart', async () => {
  assert.deepEqual(await inside('echo out; echo beside >&2; exit 3'), { code: 3, stdout: 'out\n', stderr: 'beside\n' })
  assert.equal((await inside('kill -9 $$')).code, 137)
  assert.equal((await inside('pwd; echo "$A$B"', '-e', 'A=1', '--env', 'B=2', '--cwd', '/tmp')).stdout, '/tmp\n12\n')
})

test('five megabytes of binary input arrive as they are', async () => {
  const bytes = randomBytes(5_000_000)
  const file = join(place.folder, 'input')
  await writeFile(file, bytes)
  const { code, stdout } = await place.run(['exec', '-i', machine, '--', 'sha256sum'], { through: ['sh', '-c', `exec "$@" < ${file}`, 'sh'] })
  assert.deepEqual([code, stdout], [0, `${createHash('sha256').update(bytes).digest('hex')}  -\n`])
  const back = await place.run(['exec', '-i', machine, '--', 'cat'], { through: ['sh', '-c', `"$@" < ${file} | sha256sum`, 'sh'] })
  assert.equal(back.stdout, stdout)
})

test('with --json there is one document at the end, with text as text and other bytes in base64', async () => {
  const text = await place.json(Said, ['exec', machine, 'whoami'])
  assert.deepEqual([text.exit_code, text.stdout, text.stderr], [0, 'agent\n', ''])
  const { stdout, code } = await place.run(['exec', '--json', machine, '--', 'sh', '-c', "printf '\\377'; head -c 1500000 /dev/zero; exit 2"])
  const said = Said.parse(JSON.parse(stdout))
  assert.deepEqual([code, said.exit_code, said.stdout_left_out_bytes], [2, 2, 1_500_001 - 1024 * 1024])
  assert.equal(Buffer.from(said.stdout_base64 ?? '', 'base64').length, 1024 * 1024)
})

test('what is no fault of the command ends with 125, 126 or 127 and says what helps', async () => {
  const refusal = async (...args: string[]) => {
    const { code, exit, fix } = await place.refusal(['exec', ...args])
    return [code, exit, fix]
  }
  assert.deepEqual((await refusal(machine, 'no-such-program')).slice(0, 2), ['exec.not_started', 127])
  assert.deepEqual((await refusal(machine, '/etc/passwd')).slice(0, 2), ['exec.not_started', 126])
  assert.deepEqual((await refusal(machine, 'ls', '--cwd', '/nowhere')).slice(0, 2), ['exec.not_started', 125])
  assert.deepEqual((await refusal('nobody-here', 'ls')).slice(0, 2), ['not_found', 125])
  assert.deepEqual((await refusal(machine, 'ls', '--env', '=1')).slice(0, 2), ['request.invalid', 125])
  assert.deepEqual((await refusal()).slice(0, 2), ['request.invalid', 125])
})

test('a client that is killed leaves nothing running in the machine', async () => {
  const running = place.start(['exec', machine, '--', 'sh', '-c', '(setsid sleep 98765 &); echo up >&2; exec sleep 87654'])
  await soon('both processes', async () => /sleep 98765 .*sleep 87654|sleep 87654 .*sleep 98765/.test(await processes()))
  await running.signal('SIGKILL')
  await soon('their end', async () => !/sleep (98765|87654)/.test(await processes()))
})

test('Ctrl-C at the command is a signal for the command inside, as often as it is pressed', async () => {
  const running = place.start([
    'exec',
    machine,
    '--',
    'sh',
    '-c',
    "n=0; trap 'n=$((n+1)); touch /tmp/caught$n; [ $n = 2 ] && exit 42' INT; touch /tmp/armed; while :; do sleep 0.05; done",
  ])
  await soon('the trap', () => isThere('/tmp/armed'))
  void running.signal('SIGINT')
  await soon('the first', () => isThere('/tmp/caught1'))
  const ended = running.signal('SIGINT')
  assert.equal((await ended).code, 42)
})

test('a checkpoint is taken while a command runs, in a terminal too, and the command goes on', async () => {
  const running = place.start(['exec', '-t', machine, '--', 'sh', '-c', 'touch /tmp/there; while [ ! -e /tmp/over ]; do sleep 0.05; done; echo went on'])
  await soon('the command', () => isThere('/tmp/there'))
  const { checkpoint } = await place.json(z.object({ checkpoint: Checkpoint }).loose(), ['checkpoint', 'create', machine])
  assert.equal(checkpoint.state, 'verified')
  await inside('touch /tmp/over')
  const { code, stdout } = await running.ended
  assert.deepEqual([code, stdout], [0, 'went on\r\n'])
})

/** The command in a terminal of this host, as a person has it. */
async function atTerminal(args: readonly string[]) {
  const env = { PATH, HOME: place.folder, TERM: 'xterm', AUTOVIBE_DATA_DIR: place.dataDir, XDG_CONFIG_HOME: join(place.folder, 'config') }
  const command = terminalCommand([process.execPath, MAIN, ...args], { rows: 31, cols: 91 }, env)
  assert.ok(command)
  const child = spawn(command.program, command.args, { env: command.env, stdio: ['pipe', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  const exited = once(child, 'exit')
  return {
    exited,
    key: (keys: string) => void child.stdin.write(keys),
    resize: (rows: number, cols: number) => new Resizer(child.pid ?? 0, PATH).resize({ rows, cols }),
    seen: (what: RegExp) =>
      soon(`${what}`, async () => {
        if (child.exitCode !== null && !what.test(said)) throw new Error(`it ended before ${what}: ${said}`)
        return what.test(said)
      }),
  }
}
const noTerminal = findProgram('script', PATH) === undefined && 'this host has no program script (util-linux)'

test('a shell at a terminal has the device, the size that follows, the keys and the exit code', { skip: noTerminal }, async () => {
  const person = await atTerminal(['exec', '-it', machine])
  person.key("tty; stty size; echo re''ady\n")
  await person.seen(/\/dev\/pts\/\d+\r\n31 91\r\nready\r\n/)
  // stty changes rows and columns one after the other, and each is told: the last size counts.
  person.key(`sh -c 'trap "stty size" WINCH; echo wait""ing; while :; do sleep 0.05; done'\n`)
  await person.seen(/waiting\r\n/)
  person.resize(41, 101)
  await person.seen(/41 101\r\n/)
  person.key('\u0003')
  person.key(`sh -c 'echo sleep""ing; exec sleep 76543'\n`)
  await person.seen(/sleeping\r\n/)
  person.key('\u0003')
  await soon('the end of sleep', async () => !(await processes()).includes('sleep 76543'))
  person.key('exit 6\n')
  assert.deepEqual(await person.exited, [6, null])
})

test('what was run is recorded, by whom and for how long, without a word of what it said', async () => {
  await inside('echo a-secret-word', '-e', 'HIDDEN=another-secret')
  const { stdout } = await place.run(['logs', machine])
  assert.match(stdout, /exec\.started .*actor=key_/)
  assert.match(stdout, /exec\.ended .*exit_code=0/)
  const { stdout: all } = await place.run(['logs', machine, '--json'])
  assert.equal(all.includes('another-secret'), false)
  assert.equal(all.split('a-secret-word').length - 1, 2, 'in the command line alone')
})

test('a machine that is stopped says how it is started, and ends what ran in it', async () => {
  const running = place.start(['exec', machine, '--', 'sh', '-c', 'touch /tmp/last; exec sleep 65432'])
  await soon('the command', () => isThere('/tmp/last'))
  assert.equal((await place.run(['machine', 'stop', machine])).code, 0)
  const { code, stderr } = await running.ended
  assert.equal(code, 125)
  assert.match(stderr, /exec\.broken/)
  const refused = await place.refusal(['exec', machine, 'ls'])
  assert.deepEqual([refused.code, refused.exit, refused.fix], ['conflict.state', 125, `autovibe machine start ${machine}`])
})
