/** What a transaction has to say about its operation's own rows, put off until it can be said in one exchange with the database. */
import type { EventType, Json } from '@autovibe/contract'
import type { OperationNodeSource } from 'kysely'
import { along } from '../../database/along.ts'
import type { Tx } from '../../database/database.ts'
import { eventRows, type NewEvent } from '../../database/events.ts'
import { type EngineContext, type OperationRow, operationEvent, rowUpdate, type StepChange, stepMark } from './context.ts'
import { wakes } from './wake.ts'

export type RowChange = Partial<Omit<OperationRow, 'id' | 'steps' | 'input' | 'error'>>

/** The operation's row as it will be; nobody else sees it before the transaction is committed, which holds the row's lock. */
export class Staged {
  readonly #tx: Tx
  readonly #engine: EngineContext
  #row: OperationRow
  #change: RowChange = {}
  #marks: OperationNodeSource[] = []
  #news: NewEvent[] = []

  constructor(tx: Tx, engine: EngineContext, row: OperationRow) {
    this.#tx = tx
    this.#engine = engine
    this.#row = row
  }

  get row(): OperationRow {
    return this.#row
  }

  change(change: RowChange): void {
    this.#row = { ...this.#row, ...change }
    this.#change = { ...this.#change, ...change }
  }

  /** The current step's new state. One statement changes a row once, so a step is marked once before the next `write`. */
  mark(state: StepChange): void {
    const { marking, news } = stepMark(this.#tx, this.#engine, this.#row, this.#row.step_index, state)
    this.#marks.push(marking)
    this.#news.push(...news)
  }

  tell(type: EventType, data: Record<string, Json>): void {
    this.#news.push(operationEvent(this.#row, type, data))
  }

  /** Says all of it; `wakesMachine` wakes whoever waits for its machine. */
  async write({ wakesMachine = false } = {}): Promise<OperationRow> {
    const [change, marks, news] = [this.#change, this.#marks, this.#news]
    const subject = wakesMachine ? this.#row.machine_id : null
    if (Object.keys(change).length === 0 && marks.length === 0 && news.length === 0 && subject === null) return this.#row
    this.#change = {}
    this.#marks = []
    this.#news = []
    const records = [...marks, ...(news.length === 0 ? [] : [eventRows(this.#tx, this.#engine.runtime, news)])]
    const { outputs, handle, ...plain } = change
    const columns = { ...plain, ...asText('outputs', outputs), ...asText('handle', handle) }
    const update = rowUpdate(along(this.#tx, ...records), this.#engine, this.#row, columns)
    this.#row = await (subject === null ? update : update.returning(wakes(subject).as('woken'))).executeTakeFirstOrThrow()
    return this.#row
  }
}

/** A value for a jsonb column. */
const asText = (column: string, value: object | null | undefined) => (value === undefined ? {} : { [column]: value === null ? null : JSON.stringify(value) })
