/** Which cluster a Hub works with, settled once at its start. */
import { ProxmoxConfig } from '@autovibe/contract'
import type { Selectable } from 'kysely'
import type { Database } from './database/database.ts'
import type { SubstratesTable } from './database/schema.ts'
import type { Logger } from './observability/logger.ts'
import { type Secrets, substrateTokenContext } from './security/secrets.ts'
import type { ProxmoxCluster } from './substrates/proxmox/cluster.ts'

/**
 * The cluster that a person has chosen, or null for this host. While machines live on what served last - some may have been made after another was chosen -
 * that one goes on serving: what lives elsewhere would count as lost.
 */
export function readSubstrateInUse(db: Database, secrets: Secrets, logger?: Pick<Logger, 'warn'>): Promise<ProxmoxCluster | null> {
  return db.transaction().execute(async (tx) => {
    const rows = await tx.selectFrom('substrates').selectAll().orderBy('name').forUpdate().execute()
    const wanted = rows.find((row) => row.in_use)
    const last = rows.find((row) => row.serves)
    const machine = await tx
      .selectFrom('machines')
      .select('name')
      .where('substrate', '=', last ? 'proxmox' : 'local')
      .where('state', '<>', 'destroyed')
      .limit(1)
      .executeTakeFirst()
    const stays = wanted?.name !== last?.name && machine !== undefined
    if (stays)
      logger?.warn(
        { chosen: wanted?.name ?? 'local', stays: last?.name ?? 'local', machine: machine.name },
        'another substrate was chosen, but machines live on the one before, which stays in use',
      )
    const taken = stays ? last : wanted
    await tx.updateTable('substrates').set({ serves: false }).where('serves', '=', true).execute()
    if (taken === undefined) return null
    await tx.updateTable('substrates').set({ serves: true }).where('name', '=', taken.name).execute()
    return clusterOf(taken, secrets)
  })
}

/** The same cluster as it is set now: what a person has mended need not wait for another start. */
export async function readCluster(db: Database, secrets: Secrets, name: string): Promise<ProxmoxCluster> {
  const row = await db.selectFrom('substrates').selectAll().where('name', '=', name).executeTakeFirstOrThrow()
  return clusterOf(row, secrets)
}

function clusterOf({ name, config, token_sealed }: Selectable<SubstratesTable>, secrets: Secrets): ProxmoxCluster {
  return { name, config: ProxmoxConfig.parse(config), tokenSecret: secrets.open(token_sealed, substrateTokenContext(name)) }
}
