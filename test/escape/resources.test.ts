/** Attempts to use up what the host shares: memory, processes, disk, its log. */
import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { perl } from './perl.ts'
import { attempt, Stage } from './stage.ts'

let stage: Stage
let held: Stage
before(async () => {
  stage = await Stage.open()
  held = await Stage.open({}, LIMITS)
})
after(async () => {
  await stage.close()
  await held.close()
})
const on = (): Stage => stage
const inHeld = (): Stage => held
/** Below what is tried here. */
const LIMITS = { cores: 1, memory_bytes: 512 * 1024 ** 2, processes: 200, disk_bytes: 1024 ** 3, wall_seconds: 3600 }

for (const place of ['/tmp', '/var/tmp', '/dev/shm']) {
  attempt(on, `${place} does not take more of the host’s memory than a gibibyte`, {
    outside: () => 'fallocate -l 1100M ./big || exit 1; rm ./big',
    script: () => `fallocate -l 1100M ${place}/big || exit 1; rm ${place}/big`,
  })
}
attempt(on, 'memory of the host is not taken by way of /run or /dev', {
  outside: () => 'fallocate -l 8M ./big || exit 1; rm ./big',
  script: () => 'fallocate -l 8M /run/big || fallocate -l 8M /dev/big || exit 1',
})
attempt(on, 'no process leaves an image of its memory when it crashes', {
  hostMayRefuse: true,
  script: () => 'ulimit -H -c | grep -vx 0 || exit 1',
})
attempt(inHeld, 'no more than so many processes are made', {
  script: () =>
    perl('my @p; for (1..600) { my $p=fork(); if(!defined $p) { kill(9,@p); lost("fork") } if(!$p) { sleep 60; exit } push @p,$p } kill(9,@p); got("made")'),
})
attempt(inHeld, 'no more than so much memory is taken', {
  script: () => `${perl('my $x="x"x(768*1048576); got(length $x)')} || exit 1`,
})
attempt(inHeld, 'no more than so much of the disk is filled', {
  script: () => 'fallocate -l 2G ./filled || exit 1; rm ./filled',
})

test('a flood of words does not fill the disk, and holds nobody up', async (t) => {
  if (stage.weak !== false) return t.skip(stage.weak)
  const flood = 'head -c 64000000 /dev/zero'
  assert.equal((await stage.onHost(`${flood} >log && test "$(stat -c %s log)" -eq 64000000`)).code, 0, 'outside it does not even fill a file')
  const machineId = await stage.machine()
  // The standard output of the agent itself, which the Hub keeps.
  assert.equal((await stage.inside(`${flood} >/proc/$PPID/fd/1`)).code, 0)
  assert.ok(statSync(join(stage.ground.layout.machines, machineId, 'agent.log')).size <= 256 * 1024)
  assert.ok((await stage.substrate.agentLog(machineId)).length <= 16 * 1024)
  assert.deepEqual(await stage.inside('echo works'), { code: 0, said: 'works' })
})
