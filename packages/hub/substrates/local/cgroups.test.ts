import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { systemRuntime } from '../../runtime.ts'
import { ConformanceDoor } from '../conformance-door.ts'
import { fieldOf } from './cgroup-files.ts'
import { probeGroups } from './cgroup-probe.ts'
import { doorsOf, endGroup, listGroups, makeGroup, readGroup } from './cgroups.ts'
import type { LocalSubstrate } from './local-substrate.ts'
import { processSnapshot } from './processes.ts'
import { TestGround, type Tiers } from './test-ground.ts'

const signal = new AbortController().signal
const MIB = 1024 ** 2

interface Scene {
  readonly ground: TestGround
  readonly door: ConformanceDoor
  readonly substrate: LocalSubstrate
}

/** Null, and the test skipped, where the host has no control groups for us. */
async function openScene(t: TestContext, tiers: Tiers = {}): Promise<Scene | null> {
  const ground = await TestGround.make(tiers)
  const door = new ConformanceDoor()
  const substrate = await ground.open(door)
  t.after(async () => {
    for (const { machineId } of await substrate.list(signal)) await substrate.destroy(machineId, signal)
    await door.closeAll()
    await ground.dispose()
  })
  const finding = substrate.findings().find(({ name }) => name === 'limits')
  if (finding?.status === 'ok') return { ground, door, substrate }
  t.skip(finding?.detail ?? 'the limits were not looked at')
  return null
}

test('a machine that keeps every processor busy gets half of one when it is held to that', async (t) => {
  const scene = await openScene(t)
  if (scene === null) return
  const { substrate, door, ground } = scene
  const machineId = systemRuntime.newId('machine')
  const limits = { ...substrate.capabilities().defaultLimits, cores: 0.5 }
  await substrate.create({ machineId, name: 'burner', from: null, token: 'token', limits }, signal)
  await substrate.start(machineId, signal)
  const [group] = listGroups(ground.layout.dataMark)
  assert.ok(group?.folders.cpu)
  const read = (file: string): string => readFileSync(join(group.folders.cpu ?? '', file), 'utf8').trim()
  if (group.version === 'v1') assert.deepEqual([read('cpu.cfs_quota_us'), read('cpu.cfs_period_us')], ['50000', '100000'])
  else assert.equal(read('cpu.max'), '50000 100000')
  const throttled = (): number => fieldOf(read('cpu.stat'), 'nr_throttled') ?? 0
  await door.run(machineId, 'for n in 1 2 3; do (while :; do :; done) >/dev/null 2>&1 & done')
  // So little that a group of its weight gets more even on a busy host.
  await substrate.limit(machineId, { ...limits, cores: 0.05 }, signal)
  const before = throttled()
  for (let looks = 0; throttled() === before && looks < 3_000; looks++) await delay(10)
  assert.ok(throttled() > before)
  await substrate.limit(machineId, { ...limits, cores: 1.5 }, signal)
  assert.equal(group.version === 'v1' ? read('cpu.cfs_quota_us') : read('cpu.max').split(' ')[0], '150000')
  await substrate.destroy(machineId, signal)
})

test('what nobody knows any more is removed by the next Hub with all that is in it, and what is known stays', async (t) => {
  const scene = await openScene(t)
  if (scene === null) return
  const { substrate, ground, door } = scene
  const { parents } = await probeGroups(ground.layout.dataMark)
  assert.ok(parents)
  const [stranger, machineId] = [systemRuntime.newId('machine'), systemRuntime.newId('machine')]
  const orphan = await makeGroup(parents, stranger, substrate.capabilities().defaultLimits)
  const inside = spawn('sh', ['-c', `for door in ${doorsOf(orphan).join(' ')}; do echo 0 >$door; done; echo in; exec sleep 1000`], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  await once(inside.stdout, 'data')
  await substrate.create({ machineId, name: 'known', from: null, token: 'token' }, signal)
  await substrate.start(machineId, signal)
  const ended = once(inside, 'exit')
  await ground.open(door)
  assert.equal((await ended)[1], 'SIGKILL')
  assert.deepEqual(
    Object.values(orphan.folders).map((folder) => existsSync(folder)),
    Object.values(orphan.folders).map(() => false),
  )
  assert.equal((await door.run(machineId, 'echo here')).output.toString(), 'here\n')
  await substrate.destroy(machineId, signal)
})

test('even of a bare machine, what has left its session, its parent and its environment ends with it', async (t) => {
  const scene = await openScene(t, { isolation: 'I0', copy: 'C1' })
  if (scene === null) return
  const { substrate, door, ground } = scene
  const machineId = systemRuntime.newId('machine')
  await substrate.create({ machineId, name: 'daemons', from: null, token: 'token' }, signal)
  await substrate.start(machineId, signal)
  await door.run(machineId, 'for i in 1 2 3; do setsid -f env -i /bin/sleep 987654 </dev/null >/dev/null 2>&1; done')
  const [group] = listGroups(ground.layout.dataMark)
  assert.ok(group && (readGroup(group).processes ?? 0) > 3)
  await substrate.stop(machineId, signal)
  assert.deepEqual(listGroups(ground.layout.dataMark), [])
  const left = processSnapshot().filter(({ pid }) => commandOf(pid).includes('987654'))
  assert.deepEqual(left, [])
  await substrate.destroy(machineId, signal)
})

test('a group is found, made, joined and ended once for each version that works here', async (t) => {
  for (const version of ['v1', 'v2'] as const) {
    const { parents, finding } = await probeGroups('cgroup-test', version)
    if (parents === null) {
      t.diagnostic(`${version}: ${finding.detail}`)
      assert.deepEqual(listGroups('cgroup-test'), [])
      continue
    }
    const limits = { cores: 1, memory_bytes: 64 * MIB, processes: 100, disk_bytes: 64 * MIB, wall_seconds: 60 }
    const group = await makeGroup(parents, 'one', limits)
    await makeGroup(parents, 'one', limits)
    assert.equal(listGroups('cgroup-test').length, 1)
    await endGroup(group)
    await endGroup(group)
    assert.deepEqual(listGroups('cgroup-test'), [])
    for (const folder of Object.values(parents.folders)) assert.ok(!existsSync(folder))
  }
})

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
  } catch {
    return ''
  }
}
