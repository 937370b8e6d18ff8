import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { until } from '../../../../test/support/until.ts'
import { descendants, listProcesses, type Process, readProcess } from './processes.ts'
import { continueAll, stopMoving } from './stopping.ts'

/** Its child opens the pipe before it runs its program, and so runs it only once somebody writes. */
const BEGINS = `
import os, sys
pid = os.posix_spawn('/bin/sleep', ['sleep', '1000'], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, sys.argv[1], os.O_RDONLY, 0)])
print('begun', flush=True)
os.waitpid(pid, 0)`
const PYTHON = '/usr/bin/python3'
const skip = spawnSync(PYTHON, ['--version']).status === 0 ? false : 'Python is not installed, which begins processes by vfork'

test('a process that waits for one which it has just begun is stopped as soon as that one runs its program', { skip, timeout: 60_000 }, async (t) => {
  const { child, pipe } = await beginning(t)
  const stopped = new Map<number, Process>()
  for (let look = 0; look < 100; look++) assert.notEqual(stopMoving(familyOf(child), stopped).length, 0, 'it stands in the kernel, and no signal reaches it')
  await using writer = await open(pipe, 'w')
  assert.ok(writer)
  await until('nothing moves', 30_000, async () => stopMoving(familyOf(child), stopped).length === 0 || undefined)
  assert.deepEqual(
    familyOf(child).map(({ state }) => state),
    ['T', 'T'],
  )
  continueAll(stopped)
  assert.ok(child.stdout)
  assert.equal(String((await once(child.stdout, 'data'))[0]), 'begun\n')
})

test('what had stopped by itself stays so when the others go on', { timeout: 60_000 }, async (t) => {
  const child = started(t, '/bin/sh', ['-c', 'sleep 1000 & kill -STOP $!; echo begun; wait'])
  assert.ok(child.stdout)
  await once(child.stdout, 'data')
  const states = (): string =>
    familyOf(child)
      .map(({ state }) => state)
      .join('')
  await until('its child has stopped', 30_000, async () => states() === 'ST' || undefined)
  const stopped = new Map<number, Process>()
  await until('nothing moves', 30_000, async () => stopMoving(familyOf(child), stopped).length === 0 || undefined)
  assert.equal(states(), 'TT')
  continueAll(stopped)
  await until('it goes on', 30_000, async () => states() === 'ST' || undefined)
})

async function beginning(t: TestContext): Promise<{ readonly child: ChildProcess; readonly pipe: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'stop-'))
  t.after(() => rm(folder, { recursive: true }))
  const pipe = join(folder, 'pipe')
  execFileSync('mkfifo', [pipe])
  const child = started(t, PYTHON, ['-c', BEGINS, pipe])
  await until(
    'it has begun another',
    30_000,
    async () =>
      familyOf(child)
        .map(({ state }) => state)
        .join('') === 'DS' || undefined,
  )
  return { child, pipe }
}

function started(t: TestContext, command: string, args: readonly string[]): ChildProcess {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'], detached: true })
  t.after(async () => {
    const ended = once(child, 'close')
    process.kill(-(child.pid ?? 0), 'SIGKILL')
    await ended
  })
  return child
}

/** Itself first. */
function familyOf({ pid = 0 }: ChildProcess): Process[] {
  const first = readProcess(pid)
  return first === null ? [] : [first, ...descendants(pid, listProcesses())]
}
