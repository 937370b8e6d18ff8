/** Reads what a manifest needs back from the disk and hashes it. */
import type { ManifestEntry } from '@autovibe/contract'
import type { Layout } from './layout.ts'
import { isObjectSound } from './read-object.ts'
import type { Verification } from './store.ts'

const PARALLEL = 4
const DAMAGED_MAX = 100

/** Checks every content of `entries` that `since`, a verified manifest, does not hold already; each content once. */
export async function verifyManifest(
  layout: Layout,
  entries: readonly ManifestEntry[],
  since: readonly ManifestEntry[],
  signal: AbortSignal,
): Promise<Verification> {
  const known = new Set(since.map(contentKey))
  const pending = new Map<string, { readonly sha256: string; readonly size: number }>()
  for (const entry of entries) {
    const key = contentKey(entry)
    if (entry.sha256 !== null && !known.has(key)) pending.set(key, { sha256: entry.sha256, size: entry.size })
  }
  const broken = new Set<string>()
  const queue = pending.entries()
  const failure = new AbortController()
  const stop = AbortSignal.any([signal, failure.signal])
  const worker = async (): Promise<void> => {
    for (const [key, { sha256, size }] of queue) {
      if (!(await isObjectSound(layout, sha256, size, stop))) broken.add(key)
    }
  }
  const workers = Array.from({ length: PARALLEL }, () => worker().catch((error: unknown) => failure.abort(error)))
  await Promise.all(workers)
  signal.throwIfAborted()
  if (failure.signal.aborted) throw failure.signal.reason
  const damaged = entries.filter((entry) => broken.has(contentKey(entry))).map((entry) => entry.path)
  return { ok: damaged.length === 0, damaged: damaged.slice(0, DAMAGED_MAX) }
}

/** Two sizes for one hash cannot both be right, so each is checked. */
const contentKey = (entry: ManifestEntry): string => `${entry.sha256}/${entry.size}`
