/** Brings what a snapshot names to the disk, behind the back of the machine that goes on; until then it is only as good as this boot of the host. */
import { AutovibeError } from '@autovibe/contract'
import type { KeyedLock } from '../keyed-lock.ts'
import { runOrThrow } from './command.ts'
import { readSnapshot, type SnapshotDocument, writeSnapshot } from './documents.ts'
import type { Host } from './host.ts'

/** A slow disk with much to write. */
const SYNC_TIMEOUT_MS = 10 * 60_000

/** The snapshot; `substrate.snapshot_gone` when there is none, or when the host crashed before all of it was on disk. */
export async function snapshotOf(host: Host, handle: string): Promise<SnapshotDocument> {
  const document = await readSnapshot(host.layout, handle)
  if (document === null) throw new AutovibeError('substrate.snapshot_gone', `The snapshot ${handle} no longer exists on this host.`)
  if (document.unwritten_boot !== null && document.unwritten_boot !== host.boot)
    throw new AutovibeError('substrate.snapshot_gone', `The host went down before the snapshot ${handle} was written to disk.`, {
      fix: 'Take another checkpoint of the machine.',
    })
  return document
}

/** All layers are on disk as they are now. */
export async function syncLayers(host: Host): Promise<void> {
  await runOrThrow('sync', ['-f', host.layout.layers], { timeoutMs: SYNC_TIMEOUT_MS, what: 'Writing the layers to disk' })
}

/** The snapshot and all that it names are on disk; what was there already costs nothing. */
export async function bringToDisk(host: Host, locks: KeyedLock, handle: string): Promise<void> {
  if ((await snapshotOf(host, handle)).unwritten_boot === null) return
  await syncLayers(host)
  // Read again: meanwhile its layers may have been merged.
  await locks.run('snapshots', async () => writeSnapshot(host.layout, handle, { ...(await snapshotOf(host, handle)), unwritten_boot: null }))
}
