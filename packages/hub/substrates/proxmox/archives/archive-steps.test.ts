/** Every fault in every step of the operations of archives, on a cluster; what lies on its storage afterwards is what the rows say. */
import assert from 'node:assert/strict'
import { silentLog } from '../../../operations/engine/testing.ts'
import { faultTests } from '../../../operations/faults/fault-tests.ts'
import { OF_ARCHIVES } from '../../../operations/faults/scenarios.ts'
import { lookAtArchives } from '../../../scheduler/archive-looks.ts'
import { openProxmoxWorld } from '../test-world.ts'

faultTests(
  async () => {
    const { world, cluster, close } = await openProxmoxWorld({ storage: 'lvmthin', archive: 'pbs' }, { storeMs: 2_000, idleMs: 500 })
    return {
      world,
      close: async () => {
        // What a call made that landed after its end goes at a look, and what is gone is said to be missing.
        await lookAtArchives(world.ports, silentLog)
        const stored = await world.database.db
          .selectFrom('machine_archives')
          .select('volume')
          .where('state', '=', 'stored')
          .where('missing', '=', false)
          .execute()
        const { storages } = cluster.pve.cluster
        const there = storages.volumes(storages.get('archives'), 'pve1').map(({ volid }) => volid)
        await close()
        assert.deepEqual(there.sort(), stored.map(({ volume }) => volume ?? '').sort())
      },
    }
  },
  (kind) => OF_ARCHIVES.has(kind),
)
