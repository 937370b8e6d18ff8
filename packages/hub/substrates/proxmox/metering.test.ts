/** What VMs take by the word of their cluster: real guests, real processes, the nodes' clock put on by the test. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { MachineId } from '@autovibe/contract'
import { asker } from '../../../../test/proxmox/ask.ts'
import type { Usage as Taken } from '../../../../test/proxmox/guests.ts'
import { ConformanceStage, signal } from '../conformance-stage.ts'
import type { GuestState } from './guest-links.ts'
import { silence } from './lying-links.ts'
import { ProxmoxGround } from './test-ground.ts'

const stage = new ConformanceStage()
let ground: ProxmoxGround
before(async () => {
  ground = await ProxmoxGround.make({ storage: 'lvmthin', standIn: { broadcastEveryS: 0 } })
  await stage.open(ground)
})
after(() => stage.close())

const cluster = () => ground.cluster.pve.cluster
const pass = (seconds: number): void => cluster().clock.pass(seconds)
const measure = async (machineId: MachineId) => {
  const usage = await stage.substrate.measure(machineId, signal)
  assert.ok(usage)
  return usage
}
const asked = (path: string): number => ground.cluster.pve.journal.count('GET', path)
const MINUTES = '/nodes/{node}/qemu/{vmid}/rrddata'

async function vmOf(machineId: MachineId) {
  const vmid = await ground.vmidOf(machineId)
  const vm = cluster().vms.get(vmid)
  assert.ok(vm)
  return vm
}
/** Between the last look of the nodes and now. */
async function spend(machineId: MachineId, usage: Partial<Taken>): Promise<void> {
  const vm = await vmOf(machineId)
  cluster().figures.spend(vm, usage)
  cluster().figures.of(vm)
}

/** A machine whose life has gone on for some minutes, and whose figures of them are known. */
async function settledMachine(): Promise<MachineId> {
  const machineId = await stage.running()
  await measure(machineId)
  pass(150)
  await measure(machineId)
  return machineId
}

test('what root does in a VM, of which its guest knows nothing, counts as the cluster saw it', async () => {
  const machineId = await settledMachine()
  const vm = await vmOf(machineId)
  const before = cluster().figures.of(vm).cpuSeconds
  await asker(ground.cluster.pve).ask('POST', `/nodes/${vm.node}/qemu/${vm.vmid}/agent/exec`, {
    command: ['/bin/sh', '-c', 'i=0; while [ $i -lt 2000000 ]; do i=$((i+1)); done; sleep 1000'],
  })
  const taken = () => cluster().figures.of(vm).cpuSeconds - before
  await stage.seen(machineId, 'a second of work', () => taken() >= 1)
  const least = taken() * 0.9
  pass(200)
  const { cpuSeconds } = await measure(machineId)
  assert.ok(cpuSeconds.value >= least, `${JSON.stringify(cpuSeconds)} of ${least}`)
})

test('a guest that tells much less than its cluster saw is charged what that saw, and doubted', async () => {
  const machineId = await settledMachine()
  const first = await measure(machineId)
  assert.equal(first.doubt, null)
  await spend(machineId, { cpuSeconds: 500 })
  pass(600)
  await spend(machineId, { cpuSeconds: 400 })
  const { cpuSeconds, doubt } = await measure(machineId)
  // The last minute is not written yet.
  assert.ok(cpuSeconds.value > 750 && cpuSeconds.value < 920, JSON.stringify(cpuSeconds))
  assert.ok(doubt && doubt.toldCpuSeconds < 100 && doubt.seenCpuSeconds > 750, JSON.stringify(doubt))

  pass(120)
  const again = await measure(machineId)
  assert.ok(
    again.cpuSeconds.value >= Math.max(890, cpuSeconds.value) && again.cpuSeconds.value < 920,
    `${again.cpuSeconds.value}: nothing is missing or counts twice`,
  )
  await stage.reopen()
  assert.ok((await stage.seen(machineId, 'the same life', () => true)).cpuSeconds.value >= cpuSeconds.value - 1, 'the next Hub knows of it')
})

test('a guest that tells of nothing, or of another life each time, hides nothing and begins nothing anew', async () => {
  const machineId = await settledMachine()
  const honest = await measure(machineId)
  await spend(machineId, { cpuSeconds: 300 })
  let lives = 0
  try {
    for (const lie of [
      (state: GuestState): GuestState => ({ ...state, cpuSeconds: 0, peakMemoryBytes: 0, diskBytes: 0 }),
      (state: GuestState): GuestState => ({ ...state, life: `life-${++lives}`, cpuSeconds: 0 }),
      (state: GuestState): GuestState => ({ ...state, life: '', agent: 'stopped' }),
    ]) {
      ground.cluster.lie = lie
      pass(200)
      const usage = await measure(machineId)
      assert.equal(usage.life, honest.life)
      assert.ok(usage.cpuSeconds.value >= 295 && usage.cpuSeconds.value < 330, JSON.stringify(usage.cpuSeconds))
      assert.ok(usage.doubt)
    }
    await stage.substrate.stop(machineId, signal)
    assert.ok((await measure(machineId)).cpuSeconds.value >= 295)
  } finally {
    ground.cluster.lie = null
  }
})

test('the end of a life takes nothing back, and counts what was busy until then', async () => {
  const machineId = await settledMachine()
  pass(20)
  await spend(machineId, { cpuSeconds: 15 })
  await stage.substrate.stop(machineId, signal)
  const over = await measure(machineId)
  assert.ok(over.cpuSeconds.value >= 13 && over.cpuSeconds.value < 40, JSON.stringify(over.cpuSeconds))
  pass(600)
  assert.deepEqual(await measure(machineId), over, 'nothing is added when it is over')
  await stage.substrate.start(machineId, signal)
  const next = await measure(machineId)
  assert.notEqual(next.life, over.life)
  assert.ok(next.cpuSeconds.value < over.cpuSeconds.value)
})

test('bytes of its card are counted from the beginning of each life', async () => {
  const machineId = await settledMachine()
  const first = await measure(machineId)
  await spend(machineId, { netInBytes: 1_000_000, netOutBytes: 500_000 })
  pass(10)
  const second = await measure(machineId)
  const grown = (second.networkBytes?.value ?? 0) - (first.networkBytes?.value ?? 0)
  assert.ok(grown >= 1_500_000 && grown < 2_000_000, String(grown))
})

test('however often machines are looked at, the cluster is asked for a list every few seconds, and for minutes once a minute each', async () => {
  const machines = [await settledMachine(), await settledMachine()]
  pass(61)
  const [lists, minutes] = [asked('/cluster/resources'), asked(MINUTES)]
  for (let look = 0; look < 20; look++) await Promise.all(machines.map(measure))
  assert.ok(asked('/cluster/resources') - lists <= 4, `${asked('/cluster/resources') - lists} lists`)
  assert.equal(asked(MINUTES) - minutes, machines.length)
})

test('a cluster that does not answer hides nothing that the guest tells', async () => {
  const machineId = await settledMachine()
  ground.cluster.pve.setFaults(({ template }) =>
    template === '/cluster/resources' || template === MINUTES ? { kind: 'answer', when: 'before', status: 500, reason: 'got timeout' } : null,
  )
  pass(120)
  try {
    const usage = await measure(machineId)
    assert.ok(usage.memoryBytes.value > 0 && usage.cpuSeconds.value > 0)
  } finally {
    ground.cluster.pve.setFaults(null)
  }
})

test('bytes of its card that a Hub has told of are known to the next one, whether RRD answers or not', async () => {
  const machineId = await settledMachine()
  ground.cluster.pve.setFaults(({ template }) => (template === MINUTES ? { kind: 'answer', when: 'before', status: 500, reason: 'got timeout' } : null))
  try {
    await spend(machineId, { netInBytes: 3_000_000 })
    pass(10)
    const told = (await measure(machineId)).networkBytes?.value ?? 0
    assert.ok(told >= 3_000_000)
    await stage.reopen()
    await spend(machineId, { netInBytes: 1_000_000 })
    pass(10)
    const { networkBytes } = await stage.seen(machineId, 'its card', (usage) => usage.networkBytes !== null)
    assert.ok((networkBytes?.value ?? 0) >= told + 1_000_000, `${networkBytes?.value} after ${told}`)
  } finally {
    ground.cluster.pve.setFaults(null)
  }
})

test('a guest that is silent for one look is not doubted for it, and what it told of its life stays', async () => {
  const machineId = await settledMachine()
  const before = await stage.seen(machineId, 'its memory', ({ peakMemoryBytes }) => peakMemoryBytes.value > 0)
  await spend(machineId, { cpuSeconds: 500 })
  pass(600)
  ground.cluster.lie = silence
  try {
    const silent = await measure(machineId)
    assert.ok(silent.cpuSeconds.value > 400 && silent.peakMemoryBytes.value >= before.peakMemoryBytes.value, JSON.stringify(silent))
    assert.equal(silent.doubt, null)
  } finally {
    ground.cluster.lie = null
  }
  assert.ok((await measure(machineId)).doubt)
})

// Last, for the call goes on for a while.
test('a list that never comes is asked for once, and those who look meanwhile do not wait for it', async () => {
  const machineId = await settledMachine()
  ground.cluster.pve.setFaults(({ template }) => (template === '/cluster/resources' ? { kind: 'silence', when: 'before' } : null))
  pass(30)
  const lists = asked('/cluster/resources')
  try {
    for (let looks = 0; looks < 3; looks++) {
      assert.ok((await measure(machineId)).memoryBytes.value > 0)
      pass(5)
    }
    assert.equal(asked('/cluster/resources') - lists, 1)
  } finally {
    ground.cluster.pve.setFaults(null)
  }
})
