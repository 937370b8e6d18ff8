import assert from 'node:assert/strict'
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'

const MAIN = join(import.meta.dirname, 'main.ts')
const DEMO = join(import.meta.dirname, 'scripts/demo.yaml')

const LAUNCHER = join(import.meta.dirname, 'main.cjs')

function run(t: TestContext, ...args: string[]): ChildProcessWithoutNullStreams {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
  t.after(() => child.kill('SIGKILL'))
  return child
}

async function url(child: ChildProcessWithoutNullStreams): Promise<string> {
  const [chunk] = (await once(child.stdout, 'data')) as [Buffer]
  const line: unknown = JSON.parse(chunk.toString())
  assert.ok(typeof line === 'object' && line !== null && 'url' in line && typeof line.url === 'string')
  return line.url
}

test('it says where it serves in one line of JSON, and ends when its parent closes its stdin', async (t) => {
  const child = run(t, DEMO)
  const answer = await fetch(`${await url(child)}/v1/models`)
  assert.equal(answer.status, 200)
  const ended = once(child, 'exit')
  child.stdin.end()
  assert.deepEqual(await ended, [0, null])
})

test('it ends with SIGTERM as with a success', async (t) => {
  const child = run(t, DEMO, '--port', '0')
  await url(child)
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  assert.deepEqual(await ended, [0, null])
})

test('a script with mistakes is told line by line on stderr, with nothing on stdout', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'scripted-model-'))
  t.after(() => rm(folder, { recursive: true }))
  const path = join(folder, 'broken.yaml')
  await writeFile(path, 'conversations:\n  - replies:\n      - txt: hello\n')
  const child = run(t, path)
  const [out, errors, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  assert.deepEqual([out, code], ['', 2])
  assert.ok(errors.startsWith(`${path}:3:9: conversations[0].replies[0]: expected one of thinking, text,`), errors)
})

test('--help tells the options and how the model becomes a provider, on standard output alone', async (t) => {
  for (const flag of ['--help', '-h']) {
    const child = run(t, flag)
    const [out, errors, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
    assert.deepEqual([errors, code], ['', 0])
    assert.match(out, /^Usage: node packages\/scripted-model\/main\.cjs \[options\] <script>\n/)
    for (const named of ['--port <port>', '--var <name=value>', '-h, --help', 'autovibe provider set']) assert.ok(out.includes(named), named)
  }
})

test('a mistake in the command is one sentence with its fix, without advice of Node or a stack', async (t) => {
  const child = run(t, DEMO, '--prt', '1')
  const errors = await text(child.stderr)
  assert.deepEqual(
    errors.split('\n').map((line) => line.trim().split(' ')[0]),
    ['✗', 'Usage:', 'Fix:', ''],
  )
  assert.match(errors, /'--prt'/)
})

test('the launcher serves the same as the file that it starts, and passes SIGTERM on', async (t) => {
  const child = spawn(process.execPath, [LAUNCHER, DEMO], { stdio: ['pipe', 'pipe', 'pipe'] })
  t.after(() => child.kill('SIGKILL'))
  assert.equal((await fetch(`${await url(child)}/v1/models`)).status, 200)
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  assert.deepEqual(await ended, [0, null])
})

const older = olderNode()

test('an older Node starts the model through the launcher', { skip: older === undefined && 'there is no Node older than 24 on this host' }, async (t) => {
  const child = spawn(older ?? '', [LAUNCHER, DEMO], { stdio: ['pipe', 'pipe', 'pipe'] })
  t.after(() => child.kill('SIGTERM'))
  assert.equal((await fetch(`${await url(child)}/v1/models`)).status, 200)
  const ended = once(child, 'exit')
  child.stdin.end()
  assert.deepEqual(await ended, [0, null])
})

/** A Node on the PATH that cannot read TypeScript by itself, but is new enough for the launcher. */
function olderNode(): string | undefined {
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((folder) => join(folder, 'node'))
    .find((path) => {
      const [, major = '0'] = /^v([0-9]+)\./.exec(spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout ?? '') ?? []
      return Number(major) >= 18 && Number(major) < 22
    })
}

for (const args of [[], [DEMO, '--port', 'many'], [DEMO, '--prt', '1'], [DEMO, '--var', 'project']]) {
  test(`the arguments [${args.slice(1).join(' ')}] are refused with the usage`, async (t) => {
    const child = run(t, ...args)
    const [errors, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')])
    assert.equal(code, 2)
    assert.match(errors, /Usage: /)
  })
}
