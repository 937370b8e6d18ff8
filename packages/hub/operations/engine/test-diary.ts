/** An engine over one operation that writes a diary, on a real PostgreSQL: what the engine's own tests stand on. */
import { after } from 'node:test'
import type { OperationId } from '@autovibe/contract'
import { z } from 'zod'
import { freshDatabase } from '../../database/testing.ts'
import { type AnyOperation, defineOperations, registryOf } from './define.ts'
import { enqueue } from './enqueue.ts'
import { testClock, testEngine } from './testing.ts'

interface Diary {
  readonly lines: string[]
}
export const operation = defineOperations<Diary>()
export const Empty = z.object({})

export const database = await freshDatabase()
after(() => database.close())

/** An engine over one operation, and the operation enqueued. */
export async function begin(definition: AnyOperation, clock = testClock()) {
  await database.pool.query('delete from operation_steps; delete from operations; delete from events')
  const diary: Diary = { lines: [] }
  const engine = testEngine({ db: database.db, registry: registryOf([definition]), clock, ports: diary })
  const id = await database.db.transaction().execute((tx) => enqueue(tx, clock, definition, {}, { projectId: null, machineId: null }))
  return { engine, id, diary, clock, eventTypes: () => typesOf(id) }
}

async function typesOf(id: OperationId): Promise<string[]> {
  const rows = await database.db.selectFrom('events').select(['type', 'data']).where('operation_id', '=', id).orderBy('seq').execute()
  return rows.map(({ type, data }) => ('step' in data ? `${type} ${data['step']} ${data['state'] ?? ''}`.trim() : type))
}

/** Looks until it is so; the database answers each look. */
export async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (let looks = 0; looks < 10_000; looks++) if (await isSo()) return
  throw new Error('it never became so')
}
