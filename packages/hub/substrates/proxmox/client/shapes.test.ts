import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ENDPOINTS } from './endpoints.ts'

const read = (name: keyof typeof ENDPOINTS, answer: unknown): unknown => ENDPOINTS[name].returns.parse(answer)

test('a VM’s status is read whole, whatever else it says', () => {
  const answer = {
    vmid: 100,
    status: 'running',
    qmpstatus: 'running',
    name: 'quick-otter',
    tags: 'autovibe;m-1',
    cpu: 0.0123456789012345,
    cpus: 2,
    mem: 9_007_199_254_740_991,
    maxmem: 2_147_483_648,
    netin: '123456789012345',
    netout: 0,
    uptime: 17,
    agent: 1,
    ha: { managed: 0 },
    blockstat: { scsi0: { rd_bytes: 1 } },
  }
  const { ha: _, blockstat: __, ...known } = answer
  assert.deepEqual(read('GET /nodes/{node}/qemu/{vmid}/status/current', answer), { ...known, netin: 123_456_789_012_345, agent: true })
})

test('a configuration is text by name, also what Proxmox sends as numbers', () => {
  const answer = { cores: 2, memory: '2048', onboot: 1, scsi0: 'thin:vm-100-disk-0,size=10G', digest: 'ab', 'x-new': 'kept' }
  assert.deepEqual(read('GET /nodes/{node}/qemu/{vmid}/config', answer), { ...answer, cores: '2', onboot: '1' })
})

test('snapshots, logs and figures keep what they say', () => {
  const snapshots = [
    { name: 's1', description: '', snaptime: 1_700_000_000, vmstate: 0 },
    { name: 'current', description: 'You are here!', parent: 's1', digest: 'x', running: 1 },
  ]
  assert.deepEqual(read('GET /nodes/{node}/qemu/{vmid}/snapshot', snapshots), [
    { name: 's1', description: '', snaptime: 1_700_000_000, vmstate: false },
    { name: 'current', description: 'You are here!', parent: 's1' },
  ])
  assert.deepEqual(read('GET /nodes/{node}/tasks/{upid}/log', [{ n: 1, t: 'TASK OK — ü' }]), [{ n: 1, t: 'TASK OK — ü' }])
  assert.deepEqual(read('GET /nodes/{node}/qemu/{vmid}/rrddata', [{ time: 60, cpu: 0.5, mem: null }, { time: 120 }]), [
    { time: 60, cpu: 0.5, mem: null },
    { time: 120 },
  ])
  assert.deepEqual(read('GET /nodes/{node}/qemu/{vmid}/rrddata', [{ time: 60, cpu: 'NaN', netin: '-nan', maxcpu: '2' }]), [
    { time: 60, cpu: null, netin: null, maxcpu: 2 },
  ])
})

test('what would lose digits or is no UPID is refused', () => {
  const status = { vmid: 100, status: 'running' }
  for (const mem of [2 ** 53, 1.5, '12345678901234567890', '1e3', '0x10', ''])
    assert.throws(() => read('GET /nodes/{node}/qemu/{vmid}/status/current', { ...status, mem }))
  for (const vmid of [0, 99, -1, '1000000000']) assert.throws(() => read('GET /nodes/{node}/qemu/{vmid}/status/current', { ...status, vmid }))
  assert.throws(() => read('POST /nodes/{node}/qemu/{vmid}/status/start', 'UPID:pve1:x'))
  assert.throws(() => read('POST /nodes/{node}/qemu/{vmid}/status/start', null))
})
