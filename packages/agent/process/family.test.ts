import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { continueAllFamilies, enlist, FAMILY_VARIABLE, killFamily, signalFamily, stopAllFamilies } from './family.ts'

async function sleeper(mark: string) {
  const child = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore', env: { ...process.env, [FAMILY_VARIABLE]: mark } })
  await once(child, 'spawn')
  return { child, pid: child.pid as number, mark }
}
/** Waits for the state, which the kernel changes in its own time. */
function reaches(pid: number, state: RegExp): boolean {
  for (let looks = 0; looks < 100_000; looks++) if (state.test(readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1] ?? '')) return true
  return false
}

test('a limit of the run stops what the agent has started, and not what a person has', { skip: process.platform !== 'linux' }, async () => {
  const [agents, persons, late] = [await sleeper('of-the-agent'), await sleeper('of-a-person'), await sleeper('of-a-late-person')]
  const all = [agents, persons, late]
  const discharges = [enlist(agents.pid, agents.mark), enlist(persons.pid, persons.mark, true)]
  try {
    stopAllFamilies()
    discharges.push(enlist(late.pid, late.mark, true))
    assert.ok(reaches(agents.pid, /^T/))
    assert.ok(reaches(persons.pid, /^S/) && reaches(late.pid, /^S/))
    continueAllFamilies()
    assert.ok(reaches(agents.pid, /^S/))
  } finally {
    for (const discharge of discharges) discharge()
    for (const { pid, mark } of all) killFamily(pid, mark)
  }
})

test('a signal reaches a family also while it stands still', { skip: process.platform !== 'linux' }, async () => {
  const { child, pid, mark } = await sleeper('stopped')
  process.kill(pid, 'SIGSTOP')
  assert.ok(reaches(pid, /^T/))
  signalFamily(pid, mark, 'SIGHUP')
  const [code, signal] = await once(child, 'exit')
  assert.deepEqual([code, signal], [null, 'SIGHUP'])
})
