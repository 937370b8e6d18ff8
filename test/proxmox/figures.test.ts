import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Usage } from './guests.ts'
import { expectOk, type Stage, stage } from './stage.ts'

let at: Stage
let vmid = 100
before(async () => {
  at = await stage({ storages: [{ id: 'thin', type: 'lvmthin' }], broadcastEveryS: 0 })
})
after(() => at.close())

interface Point {
  readonly time: number
  readonly cpu?: number
  readonly maxcpu?: number
  readonly netin?: number
}

async function running(cores: number): Promise<number> {
  const id = vmid++
  await at.create(id, 'thin', { cores })
  expectOk(await at.root.task('POST', `/nodes/pve1/qemu/${id}/status/start`))
  return id
}
function spend(id: number, usage: Partial<Usage>): void {
  const vm = at.pve.cluster.vms.get(id)
  assert.ok(vm)
  at.pve.cluster.figures.spend(vm, usage)
}
const vmOf = (id: number) => `/nodes/pve1/qemu/${id}`
const pass = (seconds: number): void => at.pve.cluster.clock.pass(seconds)
const points = async (id: number): Promise<Point[]> => (await at.root.get(`${vmOf(id)}/rrddata`, { timeframe: 'hour' })).data
const sum = (all: readonly Point[], of: (point: Point) => number): number => all.reduce((total, point) => total + of(point), 0)

test('the minutes of a VM add up to what its guest took, and come when they are over and written', async () => {
  const id = await running(2)
  await at.root.get(`${vmOf(id)}/status/current`)
  pass(600)
  spend(id, { cpuSeconds: 300, netInBytes: 6000 })
  const { cpu } = (await at.root.get(`${vmOf(id)}/status/current`)).data
  assert.ok(Math.abs(cpu - 0.25) < 0.01, 'half of one of two processors')
  pass(180)
  const all = await points(id)
  assert.equal(all.length, 60)
  const known = all.filter((point) => point.cpu !== undefined)
  const cpuSeconds = sum(known, (point) => (point.cpu ?? 0) * (point.maxcpu ?? 0) * 60)
  const bytes = sum(known, (point) => (point.netin ?? 0) * 60)
  // The first minute may be one in which it ran for less than half, or counts in full.
  assert.ok(cpuSeconds > 270 && cpuSeconds < 330, String(cpuSeconds))
  assert.ok(bytes > 5400 && bytes < 6600, String(bytes))
  assert.ok(known.every(({ time }) => time % 60 === 0 && time + 60 <= at.pve.cluster.clock.now()))
})

test('a boot begins the counters again, and of the time in between nothing is known', async () => {
  const id = await running(1)
  spend(id, { cpuSeconds: 30, netOutBytes: 500 })
  pass(300)
  expectOk(await at.root.task('POST', `${vmOf(id)}/status/stop`))
  pass(600)
  expectOk(await at.root.task('POST', `${vmOf(id)}/status/start`))
  const { netout, uptime, cpu } = (await at.root.get(`${vmOf(id)}/status/current`)).data
  assert.deepEqual([netout, uptime, cpu], [0, 0, 0])
  pass(180)
  const known = (await points(id)).map((point) => point.cpu !== undefined)
  const off = known.slice(known.indexOf(true)).indexOf(false)
  assert.ok(off >= 4 && known.slice(known.indexOf(true) + off).includes(true), known.map(Number).join(''))
})

test('the list of the cluster has the same figures, in one answer for all', async () => {
  const id = await running(4)
  pass(100)
  spend(id, { cpuSeconds: 200, netInBytes: 7, netOutBytes: 9 })
  const listed = (await at.root.get('/cluster/resources', { type: 'vm' })).data.find((each: { vmid: number }) => each.vmid === id)
  assert.deepEqual([listed.maxcpu, listed.netin, listed.netout], [4, 7, 9])
  assert.ok(Math.abs(listed.cpu - 0.5) < 0.01 && listed.uptime >= 100)
})
