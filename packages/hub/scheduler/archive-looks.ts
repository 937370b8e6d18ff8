/** Looks now and then at the archives: what a backup server has found when it read them back, and whether they are still there. */
import { AutovibeError } from '@autovibe/contract'
import type { EngineLog } from '../operations/engine/context.ts'
import type { Ports } from '../operations/ports.ts'
import { checkArchive, lockArchive } from '../operations/steps/archive-state.ts'

/** One listing of a storage each: a large one takes its server a while. */
export const ARCHIVES_LOOK_EVERY_MS = 10 * 60_000
const LOOK_TIMEOUT_MS = 5 * 60_000
/** The newest; beyond them a server has long ended to verify. */
const LOOKED_AT_MOST = 10_000

export async function lookAtArchives({ db, runtime, substrate }: Pick<Ports, 'db' | 'runtime' | 'substrate'>, log: EngineLog): Promise<void> {
  const { archives } = substrate
  if (archives === undefined) return
  const any = await db.selectFrom('machine_archives').select('id').limit(1).executeTakeFirst()
  if (!any) return
  const seen = await archives.look(AbortSignal.timeout(LOOK_TIMEOUT_MS)).catch((error: unknown) => {
    if (!(error instanceof AutovibeError)) throw error
    log.warn({ err: error }, 'the archives could not be looked at')
    return null
  })
  if (seen === null) return
  const stored = await db.selectFrom('machine_archives').select('id').where('state', '=', 'stored').orderBy('id', 'desc').limit(LOOKED_AT_MOST).execute()
  for (const { id } of stored) {
    const found = seen.get(id)
    if (found === undefined) continue
    await db.transaction().execute(async (tx) => {
      const archive = await lockArchive(tx, id)
      if (archive.state !== 'stored' || archive.verification === null) return
      if (found === 'missing') return checkArchive(tx, runtime, archive, { verification: archive.verification, missing: true, sizeBytes: null })
      const { verification, sizeBytes } = found
      if (verification === 'failed' && archive.verification !== 'failed') log.error({ archive: id, volume: archive.volume }, 'an archive is damaged')
      await checkArchive(tx, runtime, archive, { verification, missing: false, sizeBytes })
    })
  }
}
