/** Brings the schema up to date: numbered plain SQL, each file once, each in its own transaction, one Hub at a time. */
import { readdir, readFile } from 'node:fs/promises'
import { AutovibeError } from '@autovibe/contract'
import type pg from 'pg'

const MIGRATIONS = new URL('./migrations/', import.meta.url)
/** Any number, the same in every Hub: two that start at once take turns. */
const LOCK = 7420_0001

interface Migration {
  readonly number: number
  readonly name: string
}

async function listMigrations(): Promise<Migration[]> {
  const names = (await readdir(MIGRATIONS)).filter((name) => name.endsWith('.sql')).sort()
  return names.map((name, index) => {
    const number = Number(/^(\d{4})-/.exec(name)?.[1])
    if (number !== index + 1) throw new Error(`migrations must be numbered without a gap: ${name}`)
    return { number, name }
  })
}

/** Applies what is missing and returns the names applied. Refuses (`hub.data_version`) a database that a newer version has written. */
export async function migrate(pool: pg.Pool): Promise<string[]> {
  const migrations = await listMigrations()
  const client = await pool.connect()
  try {
    await client.query('select pg_advisory_lock($1)', [LOCK])
    await client.query(
      'create table if not exists schema_migrations (number integer primary key, name text not null, applied_at timestamptz not null default now())',
    )
    const { rows } = await client.query<{ number: number }>('select number from schema_migrations order by number')
    const newest = rows.at(-1)?.number ?? 0
    if (newest > migrations.length) {
      throw new AutovibeError('hub.data_version', `The database is at schema version ${newest}; this version of autovibe knows ${migrations.length}.`, {
        fix: 'Run the newer autovibe that wrote it, or point --data-dir at another directory.',
      })
    }
    const applied: string[] = []
    for (const migration of migrations.slice(newest)) {
      const sql = await readFile(new URL(migration.name, MIGRATIONS), 'utf8')
      await client.query('begin')
      try {
        await client.query(sql)
        await client.query('insert into schema_migrations (number, name) values ($1, $2)', [migration.number, migration.name])
        await client.query('commit')
      } catch (error) {
        await client.query('rollback')
        throw error
      }
      applied.push(migration.name)
    }
    return applied
  } finally {
    await client.query('select pg_advisory_unlock($1)', [LOCK]).finally(() => client.release())
  }
}
