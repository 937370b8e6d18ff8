import assert from 'node:assert/strict'
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'

const MAIN = join(import.meta.dirname, 'main.ts')
const DEMO = join(import.meta.dirname, 'scripts/demo.yaml')

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

for (const args of [[], [DEMO, '--port', 'many'], [DEMO, '--prt', '1'], [DEMO, '--var', 'project']]) {
  test(`the arguments [${args.slice(1).join(' ')}] are refused with the usage`, async (t) => {
    const child = run(t, ...args)
    const [errors, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')])
    assert.equal(code, 2)
    assert.match(errors, /Usage: /)
  })
}
