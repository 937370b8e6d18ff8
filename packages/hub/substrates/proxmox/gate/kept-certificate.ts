/** The certificate of the gate, kept in the database beside whom it lets in, its key sealed. */
import type { Selectable } from 'kysely'
import type { Database } from '../../../database/database.ts'
import type { GateTable } from '../../../database/proxmox-tables.ts'
import { KEYS_MAX } from './admissions.ts'
import { type GateCertificate, newCertificate, withFingerprint } from './certificate.ts'
import { readEarlierFiles, removeEarlierFiles } from './earlier-files.ts'
import type { GateLogger } from './open-gate.ts'

/** Rows that are written together. */
const BATCH = 1_000

/** How the private key is sealed under the Hub's master key. */
export interface KeySealing {
  seal(key: string): Buffer
  /** Throws `internal` for what another master key has sealed. */
  open(sealed: Buffer): string
}

export interface KeptCertificateOptions {
  readonly db: Database
  readonly sealing: KeySealing
  readonly logger: GateLogger
  /** Where files of before may lie. */
  readonly folder: string
  /** Where machines reach the gate: what files of before do not say. */
  readonly address: string
  readonly now: Date
}

/** Made, or taken over from files with everybody it lets in, by the first start; every later one finds the same. Several that begin at once end with the same. */
export async function keptCertificate(options: KeptCertificateOptions): Promise<GateCertificate> {
  const { db, sealing, folder } = options
  const row = (await db.selectFrom('gate').selectAll().executeTakeFirst()) ?? (await make(options))
  const certificate = withFingerprint({ cert: row.certificate, key: sealing.open(row.key_sealed) })
  // Only now that the database has them for good: a start that is killed on the way does it again, or finds it done.
  await removeEarlierFiles(folder)
  return certificate
}

async function make({ db, sealing, logger, folder, address, now }: KeptCertificateOptions): Promise<Selectable<GateTable>> {
  const files = await readEarlierFiles(folder)
  const { key, cert, fingerprint } = files.certificate ?? newCertificate(now)
  const rows = files.admissions.map(({ machineId, secret, claim, tokens }) => ({
    ...{ machine_id: machineId, address, fingerprint },
    ...{ secret_sha256: secret, claim_sha256: claim, keys: tokens.slice(-KEYS_MAX) },
  }))
  const row = await db.transaction().execute(async (tx) => {
    const made = await tx
      .insertInto('gate')
      .values({ certificate: cert, key_sealed: sealing.seal(key), made_at: now })
      .onConflict((conflict) => conflict.doNothing())
      .returning('made_at')
      .executeTakeFirst()
    // Unless another start was quicker, which has taken over the same files.
    for (let at = 0; made !== undefined && at < rows.length; at += BATCH) {
      const some = rows.slice(at, at + BATCH)
      await tx
        .insertInto('gate_admissions')
        .values(some)
        .onConflict((conflict) => conflict.doNothing())
        .execute()
    }
    return tx.selectFrom('gate').selectAll().executeTakeFirstOrThrow()
  })
  if (rows.length > 0 || files.unreadable.length > 0)
    logger.info({ machines: rows.length, unreadable: files.unreadable }, 'whom the gate lets in was taken over from files into the database')
  return row
}
