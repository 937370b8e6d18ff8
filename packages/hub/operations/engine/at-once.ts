/**
 * Begins an operation in the transaction that asks for it: whoever stands still until it has done something waits for no wake-up, no claim and one commit less. What it
 * does outside is called after the commit as ever, under a lease that this Hub has from the first moment on.
 */
import type { Database, Tx } from '../../database/database.ts'
import { transactionWithRetry } from '../../database/transaction.ts'
import { handBack } from './claim.ts'
import { type Claim, type EngineContext, leaseFrom, type OperationRow } from './context.ts'
import { enqueue, insertOperation } from './enqueue.ts'
import { onward, type Reached } from './onward.ts'
import { Staged } from './staged.ts'

export type Enqueue = typeof enqueue

export interface Asked<T> {
  readonly answer: T
  /** Resolves when this Hub has done of the operation what could be done now; null when it was begun by nobody yet. */
  readonly moved: Promise<void> | null
}

/** Runs `work` in a transaction; it may run several times. One operation that it enqueues by the function it is given is begun at once, if somebody is free for it. */
export type AskAtOnce = <T>(work: (tx: Tx, enqueue: Enqueue) => Promise<T>) => Promise<Asked<T>>

/** How it is asked for where no engine runs: it is enqueued as any other. */
export const askLater =
  (db: Database): AskAtOnce =>
  async (work) => ({ answer: await transactionWithRetry(db, (tx) => work(tx, enqueue)), moved: null })

export interface Begun {
  readonly claim: Claim
  readonly row: OperationRow
  readonly reached: Reached
}

/** A step failed in the transaction of the request, which must not fail for it: the operation's own turn can retry it or undo it. */
class NotAtOnce extends Error {
  override readonly name = 'NotAtOnce'
}

/** Asks with an operation begun in the same transaction; `begun` is null when none was enqueued, or when its first steps must be taken in a turn of its own. */
export async function askAndBegin<T>(
  engine: EngineContext,
  work: (tx: Tx, enqueue: Enqueue) => Promise<T>,
): Promise<{ readonly answer: T; readonly begun: Begun | null }> {
  let claim: Claim | null = null
  try {
    return await transactionWithRetry(engine.db, async (tx) => {
      let begun: Begun | null = null
      claim = null
      const answer = await work(tx, async (_tx, runtime, operation, input, subject) => {
        const row = await insertOperation(tx, runtime, operation, input, subject, { owner: engine.owner, expiresAt: leaseFrom(engine) })
        claim = { id: row.id, fence: row.fence }
        begun = { claim, row, reached: await firstSteps(tx, engine, row) }
        return row.id
      })
      return { answer, begun }
    })
  } catch (error) {
    if (!(error instanceof NotAtOnce)) {
      // It may stand all the same, if only the answer of its commit was lost: then it is not left under a lease by which nobody advances it.
      if (claim !== null)
        await handBack(engine, claim).catch((err: unknown) => engine.log.warn({ err }, 'an operation may stand still until its lease runs out'))
      throw error
    }
    engine.log.warn({ err: error.cause }, 'an operation could not be begun by the request that asked for it')
    return { answer: (await askLater(engine.db)(work)).answer, begun: null }
  }
}

async function firstSteps(tx: Tx, engine: EngineContext, row: OperationRow): Promise<Reached> {
  try {
    return await onward(tx, engine, new Staged(tx, engine, row), Number.POSITIVE_INFINITY, { steps: 0 })
  } catch (error) {
    throw new NotAtOnce('a step failed', { cause: error })
  }
}
