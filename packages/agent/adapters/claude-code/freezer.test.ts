/** Claude Code stands still where its session on the disk has what it has said, and soon in any case. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { freezerOf } from './freezer.ts'
import { hasResult, sessionFile } from './session-file.ts'

/** A process that writes what it has said as soon as it goes on for the given time. */
function writer(writesWhenItGoesOn: number, canBeTold = true) {
  const done: string[] = []
  let wentOn = 0
  return {
    done,
    freezer: freezerOf({
      stop: () => void done.push('stop'),
      goOn: () => {
        wentOn++
        done.push('go on')
      },
      isWritten: async () => (canBeTold ? wentOn >= writesWhenItGoesOn : null),
    }),
  }
}

test('one that has written all stands still at once, and so does one of which nobody can tell', async () => {
  for (const { done, freezer } of [writer(0), writer(9, false)]) {
    await freezer.freeze()
    assert.deepEqual(done, ['stop'])
    await freezer.thaw()
    assert.deepEqual(done, ['stop', 'go on'])
  }
})

test('one that has not goes on until it has, and then stands still', async () => {
  const { done, freezer } = writer(2)
  await freezer.freeze()
  assert.deepEqual(done, ['stop', 'go on', 'stop', 'go on', 'stop'])
})

test('one that never writes stands still all the same, and each stop but the last was taken back', async () => {
  const { done, freezer } = writer(1000)
  await freezer.freeze()
  assert.deepEqual(done, ['stop', 'go on', 'stop', 'go on', 'stop', 'go on', 'stop'])
})

async function session(t: TestContext): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'autovibe-session-'))
  t.after(() => rm(home, { recursive: true }))
  const file = sessionFile(home, '/machine/my project', '0a-1b') ?? ''
  assert.equal(file, join(home, '.claude/projects/-machine-my-project/0a-1b.jsonl'))
  await mkdir(dirname(file), { recursive: true })
  return file
}
const line = (id: string) => `${JSON.stringify({ type: 'user', message: { content: [{ tool_use_id: id, type: 'tool_result', content: 'x' }] } })}\n`

test('a result is written when the session tells it, and not when it only tells the call', async (t) => {
  const file = await session(t)
  await writeFile(file, `${JSON.stringify({ message: { content: [{ type: 'tool_use', id: 'toolu_2' }] } })}\n${line('toolu_1')}`)
  assert.deepEqual([await hasResult(file, 'toolu_1'), await hasResult(file, 'toolu_2'), await hasResult(file, 'toolu_')], [true, false, false])
})

test('of a session that is elsewhere, a link, a pipe or too large to look through nobody can tell', async (t) => {
  const file = await session(t)
  assert.equal(await hasResult(file, 'toolu_1'), null)
  await symlink('/etc/passwd', file)
  assert.equal(await hasResult(file, 'root'), null)
  await rm(file)
  await promisify(execFile)('mkfifo', [file])
  assert.equal(await hasResult(file, 'toolu_1'), null)
  await rm(file)
  await writeFile(file, line('toolu_1') + 'x'.repeat(5 * 1024 * 1024))
  assert.equal(await hasResult(file, 'toolu_1'), null)
  assert.equal(sessionFile('/home', '/project', '../../etc/passwd'), null)
  assert.equal(await hasResult(null, 'toolu_1'), null)
})
