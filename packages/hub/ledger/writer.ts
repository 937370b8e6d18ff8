/** The one budget writer: everything that moves a balance waits here, is decided in memory, and is committed together by one statement. */
import { AutovibeError } from '@autovibe/contract'
import type pg from 'pg'
import type { Database } from '../database/database.ts'
import type { Runtime } from '../runtime.ts'
import { Book } from './book.ts'
import { type Job, Stale } from './job.ts'
import { Memory } from './memory.ts'

/** More would only make the first of a batch wait longer. */
const MAX_JOBS = 256
/** A batch that loses against changes from outside, or whose commit was not answered, is decided again. */
const ATTEMPTS = 6
const FIRST_PAUSE_MS = 5

/** Prepared once for each connection: what is sent for every batch is then only its rows. */
const COMMIT = { name: 'commit_ledger_batch', text: 'select commit_ledger_batch($1, $2, $3, $4, $5, $6, $7)' }

interface Waiting {
  readonly job: Job<unknown>
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: unknown) => void
}

type Outcome = { readonly answer: unknown } | { readonly error: unknown }

export class Writer {
  readonly #pool: pg.Pool
  readonly #runtime: Runtime
  readonly #memory: Memory
  #waiting: Waiting[] = []
  #running: Promise<void> | null = null

  constructor(db: Database, pool: pg.Pool, runtime: Runtime) {
    this.#pool = pool
    this.#runtime = runtime
    this.#memory = new Memory(db)
  }

  /** Resolves with the job's answer when it is committed. Jobs are decided in the order in which they were given. */
  do<T>(job: Job<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ job, resolve: resolve as (answer: unknown) => void, reject })
      this.#running ??= this.#run()
    })
  }

  /** Resolves when all that was given before is committed or refused. */
  async flush(): Promise<void> {
    await this.do({ decide: () => undefined })
  }

  /** The next batch is on its way before the last one's callers go on, so that the database works while they do; one is committed at a time. */
  async #run(): Promise<void> {
    // What arrives in the same turn of the loop goes along.
    await new Promise(setImmediate)
    let tell: (() => void) | undefined
    while (this.#waiting.length > 0) {
      const committing = this.#commit(this.#waiting.splice(0, MAX_JOBS))
      if (tell) setImmediate(tell)
      tell = await committing
      if (this.#waiting.length === 0) {
        tell()
        tell = undefined
      }
    }
    this.#running = null
  }

  /** Resolves, whatever comes of it, with what tells its callers. */
  async #commit(batch: readonly Waiting[]): Promise<() => void> {
    try {
      const outcomes = await this.#perform(batch)
      return () => answer(batch, outcomes)
    } catch (error) {
      // One of them is what cannot be committed; the others must not fail for it. What no batch can commit fails for all.
      if (batch.length === 1 || !isFinal(error)) return () => refuse(batch, error)
      const each: (() => void)[] = []
      for (const single of batch) each.push(await this.#commit([single]))
      return () => {
        for (const tell of each) tell()
      }
    }
  }

  /** Decides and commits, again if need be: remembered balances are only a guess until the rows have agreed. */
  async #perform(batch: readonly Waiting[]): Promise<Outcome[]> {
    let isFresh = false
    for (let attempt = 1; ; attempt++) {
      try {
        const book = new Book(
          this.#runtime,
          await this.#memory.recall(
            batch.map(({ job }) => job),
            isFresh,
          ),
        )
        const outcomes = batch.map(({ job }) => decide(job, book))
        if (!book.isEmpty) await this.#pool.query({ ...COMMIT, values: [...book.toRows()] })
        this.#memory.learn(book)
        return outcomes
      } catch (error) {
        if (attempt === ATTEMPTS || isFinal(error)) {
          this.#memory.forget()
          throw error
        }
        if (!(error instanceof Stale) && !isConflict(error)) await pause(FIRST_PAUSE_MS * 2 ** attempt)
        // Also when the commit was not answered: what it did stands in the rows, under the keys and ids of this batch.
        isFresh = true
      }
    }
  }
}

function decide(job: Job<unknown>, book: Book): Outcome {
  try {
    return { answer: job.decide(book) }
  } catch (error) {
    if (error instanceof AutovibeError || error instanceof RangeError) return { error }
    throw error
  }
}

function answer(batch: readonly Waiting[], outcomes: readonly Outcome[]): void {
  for (const [index, { resolve, reject }] of batch.entries()) {
    const outcome = outcomes[index]
    if (outcome && 'answer' in outcome) resolve(outcome.answer)
    else reject(outcome?.error)
  }
}

function refuse(batch: readonly Waiting[], error: unknown): void {
  for (const { reject } of batch) reject(error)
}

/** AV001 (see `commit_ledger_batch`), unique_violation of a key, deadlock_detected, serialization_failure. */
const CONFLICTS = new Set(['AV001', '23505', '40P01', '40001'])

const isConflict = (error: unknown): boolean => CONFLICTS.has(sqlStateOf(error))
/** What the rows will never take, or a mistake of ours; a lost connection, a full disk or a server that starts may pass. */
const isFinal = (error: unknown): boolean => !isConflict(error) && (/^(22|23|42|P0)/.test(sqlStateOf(error)) || error instanceof TypeError)

function sqlStateOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
