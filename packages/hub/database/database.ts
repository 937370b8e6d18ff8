/** The connection to PostgreSQL: a pool, Kysely over it, and what a transaction is. */
import { Kysely, PostgresDialect, type Transaction } from 'kysely'
import pg from 'pg'
import type { Schema } from './schema.ts'

export type Database = Kysely<Schema>
export type Tx = Transaction<Schema>

/** What `pg` needs to reach the server: a URL, or the folder of its unix socket. */
export interface DatabaseAddress {
  readonly connectionString?: string
  readonly host?: string
  readonly port?: number
  readonly database?: string
  readonly user?: string
  /** How the server names the connections. */
  readonly application_name?: string
}

const INT8 = 20
const XID8 = 5069
const types = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') => {
    if (oid === INT8) return (text: string) => BigInt(text)
    if (oid === XID8) return (text: string) => text
    return pg.types.getTypeParser(oid, format)
  }) as typeof pg.types.getTypeParser,
}

export interface OpenDatabase {
  readonly db: Database
  readonly pool: pg.Pool
  close(): Promise<void>
}

/** Opens a pool of at most `max` connections; nothing connects before the first query. int8 comes back as `bigint`. */
export function openDatabase(address: DatabaseAddress, options: { readonly max: number; readonly onError: (error: Error) => void }): OpenDatabase {
  const pool = new pg.Pool({ application_name: 'autovibe-hub', ...address, max: options.max, types, connectionTimeoutMillis: 10_000 })
  // A connection that breaks while nothing is asked of it (idle, or between two statements of a transaction) must not end the process.
  pool.on('error', options.onError)
  pool.on('connect', (client) => client.on('error', options.onError))
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) })
  const close = async () => {
    await db.destroy()
    // Kysely ends the pool only if it was used through Kysely.
    if (!pool.ended) await pool.end()
  }
  return { db, pool, close }
}
