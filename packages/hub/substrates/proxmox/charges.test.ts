/** The Hub's looks at real guests on a cluster: what its budgets are charged is what the cluster saw, and a guest that tells less is told of once. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { asker } from '../../../../test/proxmox/ask.ts'
import { enqueue } from '../../operations/engine/enqueue.ts'
import { silentLog } from '../../operations/engine/testing.ts'
import { type EngineLife, engineLife } from '../../operations/faults/engine-life.ts'
import { registry } from '../../operations/registry.ts'
import { spawnMachine } from '../../operations/spawn-machine.ts'
import { projectBudget } from '../../operations/steps/budgets.ts'
import { lookAtMachines } from '../../scheduler/meter.ts'
import { silence } from './lying-links.ts'
import { openProxmoxWorld, type ProxmoxWorld } from './test-world.ts'

const MIB = 1024 ** 2
const CPU_LIMIT = 1_000n
const roomy = async () => ({ freeBytes: 2 ** 40, totalBytes: 2 ** 41, freeFiles: null })

let proxmox: ProxmoxWorld
let life: EngineLife
before(async () => {
  proxmox = await openProxmoxWorld({ storage: 'lvmthin', standIn: { broadcastEveryS: 0 } })
  life = engineLife(proxmox.world, registry)
})
after(async () => {
  await life.close()
  await proxmox.close()
})

const look = () => lookAtMachines({ ...proxmox.world.ports, log: silentLog, room: roomy }, new Map())

/** Time passes at the nodes and at the Hub alike. */
async function pass(seconds: number): Promise<void> {
  proxmox.cluster.pve.cluster.clock.pass(seconds)
  await life.shift(seconds * 1000)
  await proxmox.world.database.db.updateTable('machines').set({ last_heartbeat_at: proxmox.world.clock.now() }).execute()
}

test('a machine whose guest keeps silent about what the VM does is charged for it, up to the cap, and told of once', async () => {
  const { world, cluster } = proxmox
  const { db } = world.database
  await db.transaction().execute((tx) => projectBudget(world.ports, tx, world.projectId))
  const budgetId = await db
    .transaction()
    .execute((tx) =>
      world.ports.ledger.openBudget(tx, { scope: 'project', scopeId: world.projectId, parentId: null, resource: 'cpu_seconds', limit: CPU_LIMIT }),
    )
  const { id: machineId } = await world.newMachine(null)
  const input = { machineId, projectId: world.projectId, runId: null, from: null, limitNanoUsd: '1000000000' }
  await db.transaction().execute((tx) => enqueue(tx, world.clock, spawnMachine, input, { projectId: world.projectId, machineId }))
  await life.settle()
  const { vmid } = await db.selectFrom('proxmox_vms').select('vmid').where('machine_id', '=', machineId).executeTakeFirstOrThrow()
  const vm = cluster.pve.cluster.vms.get(vmid)
  assert.ok(vm)

  await pass(150)
  await look()
  cluster.pve.cluster.figures.spend(vm, { cpuSeconds: 700, netInBytes: 5 * MIB })
  await pass(600)
  await look()
  await pass(120)
  await look()
  const charged = async (resource: string) => {
    const rows = await db.selectFrom('usage_events').select('amount').where('machine_id', '=', machineId).where('resource', '=', resource).execute()
    return rows.reduce((sum, { amount }) => sum + amount, 0n)
  }
  const cpuSeconds = await charged('cpu_seconds')
  assert.ok(cpuSeconds >= 695n && cpuSeconds < 730n, String(cpuSeconds))
  const { settled } = await db.selectFrom('budgets').select('settled').where('id', '=', budgetId).executeTakeFirstOrThrow()
  assert.equal(settled, cpuSeconds)
  assert.ok((await charged('network_bytes')) >= BigInt(5 * MIB))
  const doubts = await db.selectFrom('events').select('data').where('machine_id', '=', machineId).where('type', '=', 'machine.usage_doubted').execute()
  assert.equal(doubts.length, 1)
  assert.ok(Number(doubts[0]?.data['seen_cpu_seconds']) > 500 && Number(doubts[0]?.data['told_cpu_seconds']) < 100)

  // It takes questions and answers none.
  cluster.lie = silence
  try {
    cluster.pve.cluster.figures.spend(vm, { cpuSeconds: 100 })
    for (const seconds of [300, 120]) {
      await pass(seconds)
      await look()
    }
    assert.ok((await charged('cpu_seconds')) > cpuSeconds + 85n, String(await charged('cpu_seconds')))
  } finally {
    cluster.lie = null
  }
  await look()
  const all = await charged('cpu_seconds')

  // Its plug is pulled by somebody else: what was charged stays, and its end adds no second time.
  await asker(cluster.pve).task('POST', `/nodes/${vm.node}/qemu/${vmid}/status/stop`)
  await pass(60)
  await look()
  assert.ok((await charged('cpu_seconds')) - all < 20n)
})
