/** One Hub per data directory, in this process and in another. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { lockDataDir } from './instance-lock.ts'

test('a second lock on the same folder is refused until the first is given back', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'avlock-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const unlock = await lockDataDir(folder)
  await assert.rejects(lockDataDir(folder), { code: 'hub.already_running' })
  await unlock()
  await (await lockDataDir(folder))()
})

test('a process that is killed leaves no lock behind', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'avlock-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const script = `import { lockDataDir } from ${JSON.stringify(new URL('./instance-lock.ts', import.meta.url).href)}; await lockDataDir(${JSON.stringify(folder)}); console.log('locked'); process.stdin.resume()`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  await assert.rejects(lockDataDir(folder), { code: 'hub.already_running' })
  child.kill('SIGKILL')
  await once(child, 'exit')
  await (await lockDataDir(folder))()
})
