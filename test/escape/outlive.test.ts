/** Attempts to live on: past a stop, past the end of the supervisor, past destruction. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { descendants, isAlive, readProcess } from '../../packages/hub/substrates/local/processes.ts'
import { until } from '../support/until.ts'
import { processesWith, supervisorPid } from './host-view.ts'
import { perl } from './perl.ts'
import { Stage, signal } from './stage.ts'

const APPEARS_WITHIN_MS = 30_000

/**
 * Makes the sandbox's first process call prctl(PR_SET_PDEATHSIG, 0): it stands behind the `syscall` instruction of its wait, so it is set back by these two bytes, given
 * other registers, stepped once, and given its own again. The numbers are those of ptrace(2) and of struct user_regs_struct on x86-64.
 */
const CUT = `sub step { sys("ptrace",@_) } sub stopped { my $s="\\0"x8; syscall(61,1,$s,0x40000000,0) }
step(16,1,0,0); stopped(); my $kept="\\0"x216; step(12,1,0,$kept); my @r=unpack("Q27",$kept);
@r[10,14,13,15,16]=(157,1,0,~0,$r[16]-2); my $new=pack("Q27",@r); step(13,1,0,$new); step(9,1,0,0); stopped();
my $then="\\0"x216; step(12,1,0,$then); my $answer=(unpack("Q27",$then))[10]; step(13,1,0,$kept); step(17,1,0,0);
$answer==0 ? got("cut") : lost("prctl answered $answer")`

let stage: Stage
before(async () => {
  stage = await Stage.open()
})
after(() => stage.close())

test('a process that has left its parents and ignores signals ends with its machine', async (t) => {
  if (stage.weak !== false) return t.skip(stage.weak)
  const [word, other] = [`4711.1${process.pid}`, `4711.2${process.pid}`]
  const daemon = (seconds: string): string => `(trap "" HUP INT TERM; setsid sleep ${seconds} >/dev/null 2>&1 </dev/null &)`
  const outside = spawn('sh', ['-c', daemon(other)], { stdio: 'ignore' })
  await new Promise((resolve) => outside.once('close', resolve))
  const left = await appeared(other)
  for (const pid of left) process.kill(pid, 'SIGKILL')
  const machineId = await stage.machine('daemon')
  assert.equal((await stage.inside(daemon(word), 'daemon')).code, 0)
  await appeared(word)
  await stage.substrate.stop(machineId, signal)
  assert.deepEqual(processesWith(word), [])
})

test('a machine that cuts the tie to its supervisor ends all the same', {
  skip: process.arch === 'x64' ? false : 'the attack is written for x86-64',
}, async (t) => {
  if (stage.weak !== false) return t.skip(stage.weak)
  const word = `4712.1${process.pid}`
  const machineId = await stage.machine('untied')
  assert.equal((await stage.inside(`sleep ${word} >/dev/null 2>&1 </dev/null &`, 'untied')).code, 0)
  const cut = await stage.inside(perl(CUT), 'untied')
  if (cut.code === 1) return t.diagnostic(`refused already: ${cut.said}`)
  assert.equal(cut.code, 0, cut.said)
  // bubblewrap's outer process hangs on the supervisor, the sandbox's first one hung on that.
  const supervisor = await supervisorPid(stage, machineId)
  const outer = descendants(supervisor).filter(({ pid, parent }) => parent === supervisor && readFileSync(`/proc/${pid}/comm`, 'latin1') === 'bwrap\n')
  assert.equal(outer.length, 1)
  process.kill(supervisor, 'SIGKILL')
  for (const { pid } of outer) while (isRunning(pid)) await delay(5)
  assert.equal(processesWith(word).length, 1, 'it has ended with its supervisor')
  const seen = (await stage.substrate.list(signal)).find((machine) => machine.machineId === machineId)
  assert.equal(seen?.power, 'running')
  await stage.substrate.destroy(machineId, signal)
  assert.deepEqual(processesWith(word), [])
})

function isRunning(pid: number): boolean {
  const seen = readProcess(pid)
  return seen !== null && isAlive(seen)
}

/** The one process with this word, which its parent has left before it became what it is. */
const appeared = (word: string): Promise<number[]> =>
  until(`a process with ${word} that has outlived its parent`, APPEARS_WITHIN_MS, async () => {
    const found = processesWith(word)
    return found.length === 1 ? found : undefined
  })
