/** Looks at all archives at once: what their storages show of them, what a backup server has verified, and what is there that nobody needs. */
import { AutovibeError, type MachineArchiveId } from '@autovibe/contract'
import { copyByNotes, verificationOf } from '@autovibe/core/proxmox/archive-copies.ts'
import type { SeenArchive, UnlistedStorage } from '../../archives.ts'
import type { Site } from '../site.ts'
import type { ArchiveRecord } from './records.ts'
import { leftovers } from './remove.ts'
import { type Copy, copiesOn, maySeeCopies, type ReachedStorage, reach, removeCopy } from './storage.ts'

/** Missing ones that are asked after one by one in a look; the others are told at the next. */
const MISSING_ASKED_MOST = 20
/** Copies that are cleared away in a look. */
const CLEARED_MOST = 10

export interface Looked {
  readonly seen: ReadonlyMap<MachineArchiveId, SeenArchive>
  readonly unlisted: readonly UnlistedStorage[]
}

/** What one storage does not show keeps nobody from looking at the others. */
export async function lookAtArchives(site: Site, signal: AbortSignal): Promise<Looked> {
  const seen = new Map<MachineArchiveId, SeenArchive>()
  const unlisted: UnlistedStorage[] = []
  const records = await site.archives.all()
  for (const { archive_id, state } of records) if (state === 'gone') seen.set(archive_id, 'missing')
  // What was never begun is on none.
  const begun = records.filter(({ storage }) => storage !== '')
  const groups = Map.groupBy(begun, ({ storage }) => storage)
  for (const [name, all] of groups) {
    const failed = await lookOn(site, name, all, seen, signal)
    // Shared or not, of one that no node shows there is one thing to say.
    const isAll = failed.length > 0 && failed.reduce((sum, { records: some }) => sum + some.length, 0) === all.length
    const told = isAll ? failed.slice(0, 1).map(({ error }) => ({ storage: name, records: all, error })) : failed
    for (const { storage, records: some, error } of told) {
      const stored = some.filter(({ state }) => state === 'stored').map(({ archive_id }) => archive_id)
      // Where there is nothing, nothing is missed.
      if (stored.length > 0) unlisted.push({ storage, listedAt: await site.archives.lookedAt(stored), reason: error.message })
    }
  }
  return { seen, unlisted }
}

interface Failed {
  /** With its node. */
  readonly storage: string
  readonly records: readonly ArchiveRecord[]
  readonly error: AutovibeError
}

/** Over any node where all see the same, else on each that has archives. Answers what could not be looked at. */
async function lookOn(
  site: Site,
  name: string,
  all: readonly ArchiveRecord[],
  seen: Map<MachineArchiveId, SeenArchive>,
  signal: AbortSignal,
): Promise<readonly Failed[]> {
  const failed: Failed[] = []
  for (const [node, some] of Map.groupBy(all, ({ node: each }) => each)) {
    let mine = some
    try {
      const storage = await reach(site, name, node, signal)
      if (storage.shared) mine = [...all]
      await lookAt(site, storage, mine, seen, signal)
      // Whoever did not see them before, all of them are seen now.
      if (storage.shared) return []
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof AutovibeError)) throw error
      site.logger.info({ storage: name, node, err: error }, 'a storage of archives could not be looked at')
      failed.push({ storage: `${name} on ${node}`, records: mine, error })
    }
    if (mine.length === all.length) break
  }
  return failed
}

async function lookAt(
  site: Site,
  storage: ReachedStorage,
  records: readonly ArchiveRecord[],
  seen: Map<MachineArchiveId, SeenArchive>,
  signal: AbortSignal,
): Promise<void> {
  const copies = await copiesOn(site, storage, undefined, signal)
  let asked = 0
  for (const { archive_id: archiveId, state, volid, vmid } of records) {
    if (state !== 'stored' || volid === null) continue
    const copy = copyByNotes(copies, { archiveId, hubId: site.hubId, volid })
    if (copy !== null) seen.set(archiveId, { volume: copy.volid, sizeBytes: copy.size, verification: verificationOf(storage.type, copy) })
    else if (asked < MISSING_ASKED_MOST) {
      asked += 1
      // Of one that is only hidden, the last that was known stays.
      if (await maySeeCopies(site, vmid, signal)) seen.set(archiveId, 'missing')
    }
  }
  await clearAway(site, storage, records, copies, signal)
}

/** What a call made that landed after its archive was given up, or made twice. Copies whose archive no row knows are left alone: a Hub that lost its rows needs them most. */
async function clearAway(site: Site, storage: ReachedStorage, records: readonly ArchiveRecord[], copies: readonly Copy[], signal: AbortSignal): Promise<void> {
  const unneeded = records
    .filter(({ state }) => state !== 'taking')
    .flatMap((record) => leftovers(site, record, copies, null).filter(({ volid }) => record.state === 'gone' || volid !== record.volid))
  for (const copy of unneeded.slice(0, CLEARED_MOST)) {
    try {
      await removeCopy(site, storage, copy, signal)
    } catch (error) {
      signal.throwIfAborted()
      site.logger.info({ volume: copy.volid, err: error }, 'a copy that nobody needs could not be removed; it is tried again')
    }
  }
}
