/** The checkpoint store in a folder of this computer: one file for each content and each manifest, named by SHA-256. */
import { AutovibeError, type ManifestEntry, Sha256 } from '@autovibe/contract'
import type { Runtime } from '../runtime.ts'
import { captureTree } from './capture.ts'
import { openLayout } from './layout.ts'
import { readManifest as readStoredManifest } from './read-manifest.ts'
import { openObject } from './read-object.ts'
import type { CheckpointStore } from './store.ts'
import { storeError } from './store-errors.ts'
import { verifyManifest } from './verify.ts'
import { createObjectWriter } from './write-object.ts'

export interface CheckpointStoreOptions {
  /** The Hub's data directory, which this process holds for itself; the store is its folder `store`. */
  readonly dataDir: string
  readonly runtime: Runtime
}

/** Opens the store, or makes it. `hub.data_version` when another version wrote it, `substrate.disk_full`, `substrate.failed`. */
export async function createCheckpointStore({ dataDir, runtime }: CheckpointStoreOptions): Promise<CheckpointStore> {
  const layout = await openLayout(dataDir, runtime).catch((error: unknown) => {
    throw storeError(error, dataDir)
  })
  const writer = createObjectWriter(layout)
  const readManifest = async (sha256: string): Promise<readonly ManifestEntry[]> => await readStoredManifest(layout, checkSha256(sha256))

  return {
    readManifest,
    async capture(parentManifestSha256, changes, signal) {
      const parent = parentManifestSha256 === null ? [] : await readManifest(parentManifestSha256)
      return await captureTree(layout, writer, parent, changes, signal)
    },
    async verify(manifestSha256, sinceManifestSha256, signal) {
      const entries = await readManifest(manifestSha256)
      const since = sinceManifestSha256 === null ? [] : await orNothing(readManifest(sinceManifestSha256))
      return await verifyManifest(layout, entries, since, signal)
    },
    async open(sha256) {
      return await openObject(layout, checkSha256(sha256)).catch((error: unknown) => {
        throw storeError(error, layout.root)
      })
    },
  }
}

/** A damaged earlier manifest vouches for nothing: then everything is read. */
async function orNothing(reading: Promise<readonly ManifestEntry[]>): Promise<readonly ManifestEntry[]> {
  try {
    return await reading
  } catch (error) {
    if (error instanceof AutovibeError && error.code === 'checkpoint.corrupt') return []
    throw error
  }
}

/** The name becomes part of a path. */
function checkSha256(text: string): string {
  if (!Sha256.safeParse(text).success) throw new AutovibeError('request.invalid', 'A content is named by 64 lower-case hex digits.')
  return text
}
