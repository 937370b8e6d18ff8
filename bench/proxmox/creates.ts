/** 50 machines made at once over four nodes, beside the same VMs made the plain way, one after the other. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { MachineId } from '@autovibe/contract'
import { openFolderStore } from '../../packages/hub/checkpoints/create-checkpoint-store.ts'
import { StoredTrees } from '../../packages/hub/checkpoints/stored-trees.ts'
import { SECRETS } from '../../packages/hub/checkpoints/testing/place.ts'
import { freshDatabase } from '../../packages/hub/database/testing.ts'
import { systemRuntime } from '../../packages/hub/runtime.ts'
import { ConformanceDoor } from '../../packages/hub/substrates/conformance-door.ts'
import { temporaryFolder } from '../support/place.ts'
import { type BenchOptions, figure, type Measured, type Target } from '../support/report.ts'
import { Cluster, openRooms, type Rooms, type Spent, spent } from './cluster.ts'
import { clonePlainly } from './plainly.ts'
import type { Seen } from './stand-in.ts'

const MACHINES = 50
const NODES = 4
/** Of one of Proxmox's seconds: a linked clone takes one of them, and the client waits between its questions as long as it really does, in proportion. */
const FULL = { rounds: 3, secondMs: 200 }
const QUICK = { rounds: 1, secondMs: 50 }
const CLONES_OF_ONE_MOST = 3
const PLAIN_FROM = 900_500

interface Round {
  readonly ours: Spent & { readonly seen: Seen; readonly eachMs: readonly number[] }
  readonly plain: Spent & { readonly seen: Seen }
}

export async function measureCreates({ quick, progress }: BenchOptions): Promise<Measured> {
  const { rounds: count, secondMs } = quick ? QUICK : FULL
  const rounds: Round[] = []
  for (let round = 0; round < count; round++) {
    progress(`${MACHINES} machines at once over ${NODES} nodes, and the plain way`)
    rounds.push(await oneRound(secondMs))
  }
  const plain = {
    wall: figure(
      `${MACHINES} VMs the plain way, one after the other: wall`,
      rounds.map(({ plain }) => plain.wallMs),
    ),
    cpu: figure(
      `${MACHINES} VMs the plain way: CPU of the client's process`,
      rounds.map(({ plain }) => plain.cpuMs),
    ),
    requests: figure(
      `requests for each VM the plain way`,
      rounds.map(({ plain }) => plain.seen.requests / MACHINES),
      { unit: 'requests' },
    ),
  }
  const seen = rounds.map(({ ours }) => ours.seen)
  const clonesMost = Math.max(...seen.map((each) => each.clonesMost))
  return {
    figures: [
      plain.wall,
      figure(
        `${MACHINES} machines at once over ${NODES} nodes: wall`,
        rounds.map(({ ours }) => ours.wallMs),
        { beside: plain.wall },
      ),
      figure(
        `one of ${MACHINES} machines at once, from its call to its end`,
        rounds.flatMap(({ ours }) => ours.eachMs),
      ),
      plain.cpu,
      figure(
        `${MACHINES} machines at once: CPU of the Hub's process`,
        rounds.map(({ ours }) => ours.cpuMs),
        { beside: plain.cpu },
      ),
      figure(
        `${MACHINES} machines at once: CPU of the stand-in, in a process of its own`,
        seen.map(({ cpuMs }) => cpuMs),
      ),
      plain.requests,
      figure(
        'requests for each machine',
        seen.map(({ requests }) => requests / MACHINES),
        { unit: 'requests', beside: plain.requests },
      ),
    ],
    targets: targetsOf(seen),
    notes: [
      `Machines at once: ${MACHINES} calls of create on LVM-thin, ${NODES} nodes of 8 cores and 32 GiB with a template each, a real gate and database; ${perNode(seen)} machines on the nodes, ${clonesMost} clones in flight at most, looked at every 5 ms.`,
      `There, one of Proxmox's seconds lasts ${secondMs} ms, and the client's waits are as much shorter than the real ones; CPU time is as it is. The database's own process is not counted.`,
    ],
  }
}

function targetsOf(seen: readonly Seen[]): Target[] {
  const counts = seen.map(({ perNode }) => Object.values(perNode))
  const made = Math.min(...counts.map((each) => each.reduce((sum, count) => sum + count, 0)))
  const [fewest, most] = [Math.min(...counts.flat()), Math.max(...counts.flat())]
  const clones = Math.max(...seen.map(({ clonesOfOneMost }) => clonesOfOneMost))
  return [
    { name: `${MACHINES} machines at once: made`, goal: `${MACHINES}`, measured: `${made}`, held: made === MACHINES },
    {
      name: `${MACHINES} machines at once: on each of ${NODES} nodes`,
      goal: `${Math.floor(MACHINES / NODES)} to ${Math.ceil(MACHINES / NODES)}`,
      measured: `${fewest} to ${most}`,
      held: fewest >= Math.floor(MACHINES / NODES) && most <= Math.ceil(MACHINES / NODES),
    },
    {
      name: 'clones of one template in flight',
      goal: `at most ${CLONES_OF_ONE_MOST}`,
      measured: `${clones}`,
      held: clones <= CLONES_OF_ONE_MOST,
    },
  ]
}

const perNode = (seen: readonly Seen[]): string => seen.map(({ perNode }) => Object.values(perNode).join(', ')).join(' / ')

async function oneRound(secondMs: number): Promise<Round> {
  await using ending = new AsyncDisposableStack()
  const folder = ending.use(await temporaryFolder())
  const cluster = ending.use(await Cluster.start({ storage: 'lvmthin', nodes: NODES, secondMs }))
  const database = ending.adopt(await freshDatabase(), (each) => each.close())
  const door = ending.adopt(new ConformanceDoor(), (each) => each.closeAll())
  const dataDir = join(folder.path, 'hub')
  await mkdir(dataDir)
  const trees = new StoredTrees(await openFolderStore(dataDir, SECRETS), async () => undefined)
  const rooms = ending.adopt(await openRooms(cluster, { dataDir, database, door, trees, tokenOf: async () => 'token' }), (each) => each.close())
  const newId = () => systemRuntime.newId('machine')
  // Connections, prepared statements and compiled code are there before anything counts.
  await create(rooms, newId())
  await clonePlainly(cluster, rooms, { vmid: PLAIN_FROM, machineId: newId() })
  await cluster.clear()
  await database.db.deleteFrom('proxmox_vms').execute()
  await cluster.seen()

  const eachMs: number[] = []
  const ours = await spent(() => Promise.all(Array.from({ length: MACHINES }, async () => eachMs.push(await create(rooms, newId())))))
  const oursSeen = await cluster.seen()
  const plain = await spent(async () => {
    for (let index = 0; index < MACHINES; index++) await clonePlainly(cluster, rooms, { vmid: PLAIN_FROM + 1 + index, machineId: newId() })
  })
  return { ours: { ...ours, seen: oursSeen, eachMs }, plain: { ...plain, seen: await cluster.seen() } }
}

/** Answers how long it took, in ms. */
async function create({ substrate }: Rooms, machineId: MachineId): Promise<number> {
  const startedAt = performance.now()
  await substrate.create({ machineId, name: 'bench', from: null, token: 'token', group: 'bench' }, AbortSignal.timeout(120_000))
  return performance.now() - startedAt
}
