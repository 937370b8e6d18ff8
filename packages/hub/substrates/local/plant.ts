/** A snapshot that no machine took: one layer with a tree that comes from elsewhere. */
import { AutovibeError, type CheckpointId, type MachineId } from '@autovibe/contract'
import type { Snapshot } from '../substrate.ts'
import { readSnapshot, writeSnapshot } from './documents.ts'
import type { Host } from './host.ts'
import { type Pins, prepareTree, withNewLayer } from './layers.ts'
import { layerTree } from './layout.ts'
import { syncLayers } from './written.ts'

export interface TreeToPlant {
  readonly machineId: MachineId
  readonly checkpointId: CheckpointId
  readonly write: (folder: string) => Promise<void>
}

/** The same answer when it was made before. What a write that failed has left is a layer that nobody names, and is collected. */
export async function plantSnapshot(host: Host, pins: Pins, { machineId, checkpointId, write }: TreeToPlant, signal: AbortSignal): Promise<Snapshot> {
  const made = await readSnapshot(host.layout, checkpointId)
  if (made !== null && made.machine !== machineId) throw new AutovibeError('substrate.failed', 'A snapshot of another machine has this checkpoint’s id.')
  if (made === null)
    await withNewLayer(host.layout, pins, async (layer) => {
      await prepareTree(host, layer)
      await write(layerTree(host.layout, layer))
      signal.throwIfAborted()
      await syncLayers(host)
      await writeSnapshot(host.layout, checkpointId, {
        version: 1,
        machine: machineId,
        created_at: new Date().toISOString(),
        layers: [layer],
        line: [],
        consistency: 'consistent',
        unwritten_boot: null,
      })
    })
  return { handle: checkpointId, consistency: 'consistent' }
}
