/** The world of the fault harness on a Proxmox cluster, with real guests and real agents in them. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findIn, StoredTrees } from '../../checkpoints/stored-trees.ts'
import { openWorld, type World } from '../../operations/faults/world.ts'
import type { ProxmoxPatience } from './site.ts'
import { type ClusterOptions, openHub, TestCluster } from './test-cluster.ts'

const AGENT = fileURLToPath(new URL('../../../agent/main.ts', import.meta.url))

export interface ProxmoxWorld {
  readonly world: World
  readonly cluster: TestCluster
  close(): Promise<void>
}

export async function openProxmoxWorld(options: ClusterOptions, patience: Partial<ProxmoxPatience> = {}): Promise<ProxmoxWorld> {
  const cluster = await TestCluster.start({ agent: AGENT, ...options })
  const world = await openWorld(async ({ dataDir, door, database, store, tokenFor }) => {
    const gateDir = join(dataDir, 'hub')
    await mkdir(gateDir)
    const hub = await openHub(cluster, {
      dataDir: gateDir,
      database,
      door,
      trees: new StoredTrees(store, findIn(database.db)),
      tokenOf: async (machineId) => tokenFor(machineId),
      patience,
    })
    return { substrate: hub.substrate, close: () => hub.close() }
  })
  return {
    world,
    cluster,
    close: async () => {
      await world.close()
      await cluster.close()
    },
  }
}
