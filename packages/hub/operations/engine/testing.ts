/** An engine whose clock the test owns: it advances what is due, and moves the clock to the next due time instead of waiting. */

import { randomBytes } from 'node:crypto'
import type { OperationId } from '@autovibe/contract'
import { encodeId } from '@autovibe/core/ids.ts'
import type { Database, Tx } from '../../database/database.ts'
import type { Runtime } from '../../runtime.ts'
import { advance } from './advance.ts'
import { claimNext, nextDue } from './claim.ts'
import type { EngineContext, OperationRow } from './context.ts'
import type { Registry } from './define.ts'

const TURNS_MAX = 500

export interface TestClock extends Runtime {
  advance(ms: number): void
}

/** A clock that stands still until it is moved. */
export function testClock(startMs = Date.parse('2026-01-01T00:00:00Z')): TestClock {
  let nowMs = startMs
  return {
    now: () => new Date(nowMs),
    randomBytes: (size) => randomBytes(size),
    newId: (kind) => encodeId(kind, nowMs, randomBytes(10)),
    advance: (ms) => {
      nowMs += ms
    },
  }
}

export const silentLog = { info: () => undefined, warn: () => undefined, error: () => undefined }

export interface TestEngine {
  readonly context: EngineContext
  /** Advances everything until nothing is unfinished or only what waits for `stopWhen`; moves the clock over back-offs and deadlines. */
  settle(): Promise<void>
  /** Advances what is due now, without moving the clock; answers how many claims were worked on. */
  workOnce(): Promise<number>
  operation(id: OperationId): Promise<OperationRow>
  /** Of the transactions from now on, the n-th is committed and its answer lost, as when the connection breaks at its end; the answer tells whether that has happened. */
  loseAnswerOfCommit(nth: number): () => boolean
}

export function testEngine(options: { db: Database; registry: Registry; clock: TestClock; ports?: unknown; owner?: string }): TestEngine {
  const { db, registry, clock, ports = {}, owner = 'test' } = options
  let answersLeft = 0
  const transaction = () => ({
    execute: async <T>(work: (tx: Tx) => Promise<T>): Promise<T> => {
      const result = await db.transaction().execute(work)
      if (--answersLeft === 0) throw new Error('Connection terminated unexpectedly')
      return result
    },
  })
  const breakable = new Proxy(db, {
    get(target, name) {
      if (name === 'transaction') return transaction
      const member = Reflect.get(target, name, target) as unknown
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
  const context: EngineContext = { db: breakable, runtime: clock, registry, ports, owner, log: silentLog }

  async function workOnce(): Promise<number> {
    for (let worked = 0; worked < TURNS_MAX; worked++) {
      const claimed = await claimNext(context)
      if (!claimed) return worked
      await advance(context, claimed.claim, claimed.row)
    }
    throw new Error('the operations never came to rest')
  }

  return {
    context,
    workOnce,
    async settle() {
      for (let turn = 0; turn < TURNS_MAX; turn++) {
        await workOnce()
        const due = await nextDue(context)
        if (!due) return
        clock.advance(Math.max(1, due.getTime() - clock.now().getTime()))
      }
      throw new Error('the operations never came to rest')
    },
    loseAnswerOfCommit(nth) {
      answersLeft = nth
      return () => answersLeft <= 0
    },
    operation: (id) => db.selectFrom('operations').selectAll().where('id', '=', id).executeTakeFirstOrThrow(),
  }
}
