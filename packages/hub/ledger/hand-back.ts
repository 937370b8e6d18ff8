/** Sets an amount of a run's budget aside, so that its work can be handed back when the rest is spent: an ordinary reservation whose owner is the run. */

import { availableOf } from '@autovibe/core/budgets/account.ts'
import { least } from '@autovibe/core/budgets/extremes.ts'
import { sql } from 'kysely'
import type { Tx } from '../database/database.ts'
import type { Runtime } from '../runtime.ts'
import { Book } from './book.ts'
import { readChain } from './chain.ts'
import { handBackHolder, NO_LEASE_MS } from './holders.ts'
import { readHandBacks } from './holds.ts'
import type { LiveLink } from './known.ts'
import type { SetAside } from './ledger.ts'

/** Locks the links, the narrowest first, as everyone does, and moves them as the writer would; that finds out when it next commits on them. */
export async function setAside(tx: Tx, runtime: Runtime, { budgetId, subject, amount }: SetAside): Promise<void> {
  for (const { id } of await readChain(tx, budgetId)) await tx.selectFrom('budgets').select('id').where('id', '=', id).forNoKeyUpdate().execute()
  const handBacks = await readHandBacks(tx, [subject.runId])
  const kept = handBacks.get(subject.runId)
  const links = new Map((await readChain(tx, budgetId)).map((link): [typeof link.id, LiveLink] => [link.id, { ...link }]))
  const book = new Book(runtime, { links, holds: new Map(), keys: new Map(), handBacks, told: new Set(), isFresh: true })
  const chain = book.chain(budgetId)
  const available = availableOf(chain)
  // What is made up later comes out of new money, of which the work shall have at least half.
  const missing = kept ? least(amount - kept.amount, available / 2n) : least(amount, available)
  if (missing <= 0n) return
  const holder = handBackHolder(subject.runId)
  if (kept) book.resize(kept, missing)
  else book.open(chain, { key: `${holder} ${runtime.newId('event')}`, holder, amount: missing, subject, leaseMs: NO_LEASE_MS })
  await sql`select commit_ledger_batch(${sql.join(book.toRows())})`.execute(tx)
}
