import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { ConformanceStage, signal } from '../conformance-stage.ts'
import { ProxmoxGround } from './test-ground.ts'

const MIB = 1024 ** 2
const LIMITS = { cores: 1, memory_bytes: 256 * MIB, processes: 200, disk_bytes: 64 * MIB, wall_seconds: 3600 }

const stage = new ConformanceStage()
let ground: ProxmoxGround
before(async () => {
  ground = await ProxmoxGround.make({ storage: 'lvmthin' })
  await stage.open(ground)
})
after(() => stage.close())

test('a limit that waits for the next boot holds at it, also when a rollback has taken the VM back to its old size meanwhile', async () => {
  const machineId = await stage.running(null, LIMITS)
  const vm = ground.cluster.pve.cluster.vms.get(await ground.vmidOf(machineId))
  const { handle } = await stage.substrate.snapshot(machineId, stage.newCheckpoint(), signal)
  await stage.substrate.limit(machineId, { ...LIMITS, memory_bytes: 384 * MIB }, signal)
  assert.deepEqual([vm?.config['memory'], vm?.pending['memory']], ['512', '640'])
  await stage.substrate.rollback(machineId, handle, signal)
  assert.deepEqual([vm?.config['memory'], vm?.pending['memory']], ['512', undefined])
  await stage.substrate.start(machineId, signal)
  assert.deepEqual([vm?.config['memory'], vm?.pending['memory'], vm?.pid !== null], ['640', undefined, true])
  await stage.substrate.stop(machineId, signal)
})
