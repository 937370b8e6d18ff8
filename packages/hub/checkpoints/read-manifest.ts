/** Reads a manifest back from the disk. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import type { ManifestEntry } from '@autovibe/contract'
import { MANIFEST_LIMITS } from '@autovibe/core/checkpoints/manifest.ts'
import { decodeEntries } from '@autovibe/core/checkpoints/manifest-format.ts'
import { unpack } from './compression.ts'
import type { Layout } from './layout.ts'
import { isDamage } from './read-object.ts'
import { corrupt, storeError } from './store-errors.ts'

const ENTRIES_PER_TURN = 2_000

/** All entries; `checkpoint.corrupt` when it is missing, its bytes do not hash to its name, or they are no manifest. */
export async function readManifest(layout: Layout, sha256: string): Promise<ManifestEntry[]> {
  const entries: ManifestEntry[] = []
  for (const entry of decodeEntries(await readBytes(layout, sha256))) {
    entries.push(entry)
    // A long manifest shall not hold up the model calls that pass through this process.
    if (entries.length % ENTRIES_PER_TURN === 0) await setImmediate()
  }
  return entries
}

async function readBytes(layout: Layout, sha256: string): Promise<Uint8Array> {
  try {
    const stored = await layout.find('manifests', sha256)
    if (stored === null) throw corrupt(`The manifest ${sha256} is missing from the store.`)
    if (stored.bytes > MANIFEST_LIMITS.encodedBytes) throw corrupt(`The manifest ${sha256} is larger than any manifest.`)
    const bytes = await unpack({ form: stored.form, bytes: await readFile(stored.path) }, MANIFEST_LIMITS.encodedBytes)
    if (createHash('sha256').update(bytes).digest('hex') !== sha256) throw corrupt(`The manifest ${sha256} does not hash to its name.`)
    return bytes
  } catch (error) {
    throw isDamage(error) ? corrupt(`The manifest ${sha256} cannot be read back.`, error) : storeError(error, layout.root)
  }
}
