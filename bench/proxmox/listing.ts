/** 1,000 machines listed and compared with their rows: at rest, running with their guests linked, and running while no guest is linked yet, as after a Hub's start. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { MachineId } from '@autovibe/contract'
import { vmName } from '@autovibe/core/proxmox/vm-names.ts'
import { findIn, StoredTrees } from '../../packages/hub/checkpoints/stored-trees.ts'
import { silentLog } from '../../packages/hub/operations/engine/testing.ts'
import { openWorld, type World } from '../../packages/hub/operations/faults/world.ts'
import { sweep } from '../../packages/hub/scheduler/sweep.ts'
import { HUB_ID } from '../../packages/hub/substrates/proxmox/test-cluster.ts'
import { startChild } from '../support/child.ts'
import { type BenchOptions, type Figure, figure, type Measured, type Target, targetBelow } from '../support/report.ts'
import { Cluster, openRooms, type Rooms, type Spent, spent } from './cluster.ts'
import type { ToLink } from './links.ts'

const MACHINES = 1_000
/** VMs without a row, and as many rows without a VM: what a look at everything must find. */
const WRONG_OF_EACH = 10
const NODES = 4
const GOAL_MS = 2_000
/** Of one of Proxmox's seconds; no task is waited for here. */
const SECOND_MS = 100
const LINK_TIMEOUT_MS = 60_000

type How = 'at rest' | 'running, linked' | 'running, nobody linked'
const FULL = { samples: 20, hows: ['at rest', 'running, nobody linked', 'running, linked'] } as const
/** A thousand guests need longer to be let in than a short look has. */
const QUICK = { samples: 2, hows: ['at rest', 'running, nobody linked'] } as const

interface Look extends Spent {
  readonly found: number
  readonly requests: number
}

export async function measureListing({ quick, progress }: BenchOptions): Promise<Measured> {
  const { samples, hows } = quick ? QUICK : FULL
  await using ending = new AsyncDisposableStack()
  const cluster = ending.use(await Cluster.start({ storage: 'lvmthin', nodes: NODES, secondMs: SECOND_MS }))
  const opened: { rooms?: Rooms } = {}
  const world = await openWorld(async ({ dataDir, door, database, store, tokenFor }) => {
    const folder = join(dataDir, 'hub')
    await mkdir(folder)
    const trees = new StoredTrees(store, findIn(database.db))
    const rooms = await openRooms(cluster, { dataDir: folder, database, door, trees, tokenOf: async (id) => tokenFor(id) })
    opened.rooms = rooms
    return { substrate: rooms.substrate, close: () => rooms.close() }
  })
  ending.defer(async () => {
    // Nobody made its VMs, so nobody needs to remove them, nor to look for them when everything is closed.
    await cluster.clear()
    await world.database.db.deleteFrom('proxmox_vms').execute()
    await world.close()
  })
  const { rooms } = opened
  if (rooms === undefined) throw new Error('the Hub has no rooms')
  progress(`${MACHINES} VMs`)
  const ids = await populate(cluster, world)

  const bare = await times(samples, () => spent(() => rooms.client.call('GET /cluster/resources', { type: 'vm' })))
  const looks = new Map<How, Look[]>()
  for (const how of hows) {
    progress(`${MACHINES} VMs ${how}`)
    const isAtRest = how === 'at rest'
    await cluster.power(!isAtRest)
    await world.database.db.updateTable('proxmox_vms').set({ agent: !isAtRest }).execute()
    await world.database.db
      .updateTable('machines')
      .set({ state: isAtRest ? 'stopped' : 'ready' })
      .execute()
    if (how === 'running, linked') ending.use(await link(rooms, ids))
    looks.set(how, await times(samples, () => look(cluster, world)))
  }
  return report(bare, looks)
}

/** Rows and VMs as a Hub has them after a while, with something wrong on both sides. */
async function populate(cluster: Cluster, { database, ports, clock, projectId }: World): Promise<readonly MachineId[]> {
  const ids = Array.from({ length: MACHINES + WRONG_OF_EACH }, () => clock.newId('machine'))
  const [withRow, withVm] = [ids.slice(0, MACHINES), ids.slice(WRONG_OF_EACH)]
  const place = (index: number) => ({ vmid: cluster.settings.vmids.from + index, node: `pve${1 + (index % NODES)}` })
  const now = clock.now()
  // Not silent for as long as this takes.
  const heard = new Date(now.getTime() + 3_600_000)
  const machine = {
    project_id: projectId,
    state: 'ready' as const,
    substrate: 'proxmox' as const,
    allow_unisolated: false,
    created_at: now,
    last_heartbeat_at: heard,
  }
  await database.db
    .insertInto('machines')
    .values(withRow.map((id) => ({ ...machine, id, name: id, token_hash: id })))
    .execute()
  const limits = JSON.stringify(ports.substrate.capabilities().defaultLimits)
  const vms = withVm.map((id, index) => ({ ...place(index), name: vmName(HUB_ID, id), machineId: id }))
  await cluster.plant(vms.map(({ machineId: _, ...vm }) => vm))
  const made = { source_vmid: 9000, source_node: 'pve1', cloned_at: now, state: 'made' as const, limits }
  await database.db
    .insertInto('proxmox_vms')
    .values(vms.map(({ machineId, ...vm }) => ({ ...vm, ...made, machine_id: machineId })))
    .execute()
  return withVm
}

async function link({ gate }: Rooms, ids: readonly MachineId[]): Promise<Disposable> {
  const child = startChild<ToLink, number>(new URL('./links.ts', import.meta.url))
  const invitations: string[] = []
  for (const id of ids) invitations.push(await gate.invite(id))
  await child.ask({ port: gate.port, invitations })
  await Promise.all(ids.map((id) => gate.linked(id, LINK_TIMEOUT_MS, AbortSignal.timeout(LINK_TIMEOUT_MS))))
  return child
}

/** One sweep: everything listed and compared. What looks wrong is only remembered, because it has not been so for its grace. */
async function look(cluster: Cluster, { ports }: World): Promise<Look> {
  await cluster.seen()
  let found = 0
  const took = await spent(async () => {
    const { suspicions, actions } = await sweep(ports, silentLog, new Map())
    if (actions.length > 0) throw new Error('a first look has acted')
    found = suspicions.size
  })
  return { ...took, found, requests: (await cluster.seen()).requests }
}

async function times<T>(count: number, one: () => Promise<T>): Promise<T[]> {
  // The first fills caches that every later one finds.
  await one()
  const samples: T[] = []
  for (let time = 0; time < count; time++) samples.push(await one())
  return samples
}

function report(bare: readonly Spent[], looks: ReadonlyMap<How, readonly Look[]>): Measured {
  const wall = figure(
    `GET /cluster/resources with ${MACHINES} VMs: wall`,
    bare.map(({ wallMs }) => wallMs),
  )
  const cpu = figure(
    `GET /cluster/resources with ${MACHINES} VMs: CPU of the client's process`,
    bare.map(({ cpuMs }) => cpuMs),
  )
  const figures: Figure[] = [wall, cpu]
  const targets: Target[] = []
  for (const [how, samples] of looks) {
    const named = (what: string) => `${MACHINES} VMs ${how}, listed and reconciled: ${what}`
    const ours = figure(
      named("CPU of the Hub's process"),
      samples.map(({ cpuMs }) => cpuMs),
      { beside: cpu },
    )
    const whole = figure(
      named('wall'),
      samples.map(({ wallMs }) => wallMs),
      { beside: wall },
    )
    figures.push(whole, ours)
    figures.push(
      figure(
        named('requests to Proxmox'),
        samples.map(({ requests }) => requests),
        { unit: 'requests' },
      ),
    )
    targets.push(targetBelow(ours.name, ours, GOAL_MS), targetBelow(whole.name, whole, GOAL_MS))
  }
  const wanted = wantedOf(looks)
  return { figures, targets: [...targets, ...wanted], notes: NOTES }
}

/** A machine at rest misses nothing until somebody wants to start it. */
function wantedOf(looks: ReadonlyMap<How, readonly Look[]>): Target[] {
  return [...looks].map(([how, samples]) => {
    const wanted = how === 'at rest' ? WRONG_OF_EACH : 2 * WRONG_OF_EACH
    const found = [...new Set(samples.map((each) => each.found))]
    return {
      name: `what is wrong among ${MACHINES} VMs ${how}`,
      goal: `${wanted} found`,
      measured: found.join(' or '),
      held: found.every((each) => each === wanted),
    }
  })
}

const NOTES = [
  `Listed and reconciled: the sweep as the Hub runs it (the substrate's list, the rows of machines, operations and checkpoints, the plan), with ${MACHINES} VMs over ${NODES} nodes and ${MACHINES} rows, of which ${WRONG_OF_EACH} each have no counterpart.`,
  'The tidying behind each list runs beside the next one and is counted. Linked guests are bare peers in a process of their own that answer what they are asked; they are left out of a quick run, because a thousand of them need long to be let in.',
]
