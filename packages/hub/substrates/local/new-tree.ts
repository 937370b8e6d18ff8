/** A machine's tree as it starts: empty, or on a snapshot; from then on the machine's file names it. */
import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { CreateMachine, SnapshotHandle } from '../substrate.ts'
import { type MachineDocument, type SnapshotDocument, writeMachine } from './documents.ts'
import type { Flats } from './flatten.ts'
import type { Host } from './host.ts'
import { copyTree, type Pins, prepareTree, withNewLayer } from './layers.ts'
import { layerTree } from './layout.ts'
import { onlyLayer } from './view.ts'

export interface NewTree extends Pick<CreateMachine, 'machineId' | 'name' | 'limits'> {
  /** Null together: an empty tree. */
  readonly handle: SnapshotHandle | null
  readonly from: SnapshotDocument | null
  readonly createdAt: string
}

export async function newTree(host: Host, pins: Pins, flats: Flats, tree: NewTree, signal: AbortSignal): Promise<void> {
  const { layout, offer } = host
  const { machineId, name, limits, handle, from, createdAt } = tree
  const unpin = pins.add(from?.layers ?? [])
  try {
    await withNewLayer(layout, pins, async (upper) => {
      // Layers from before the data directory offered snapshots stay what they are.
      const copy = offer.copy === 'C3' || (offer.overlay && (from?.layers.length ?? 0) > 1) ? 'overlay' : 'copy'
      if (from === null && copy === 'copy') await prepareTree(host, upper)
      if (from === null) for (const folder of ['project', 'home']) await makeFolder(join(layerTree(layout, upper), folder))
      else if (copy === 'copy') await copyTree(host, onlyLayer(from.layers), upper, false, signal)
      const layers = copy === 'copy' || from === null ? [] : flats.shorten(from.layers)
      const line = handle === null || from === null ? [] : [...from.line, handle]
      const document: MachineDocument = { version: 1, name, created_at: createdAt, copy, layers, upper, line, limits: limits ?? null }
      await writeMachine(layout, machineId, document)
    })
  } finally {
    unpin()
  }
}

async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true })
  await chmod(path, 0o755)
}
