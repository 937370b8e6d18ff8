/** The turn of a run whose money is out and whose budget says that it shall be wound down: from then on its calls are paid from what was set aside. */
import type { Database } from '../database/database.ts'
import { hasHandBack } from '../ledger/holds.ts'
import { BudgetRefusal } from '../ledger/ledger.ts'
import type { Runtime } from '../runtime.ts'
import type { Caller } from './callers.ts'
import { WindingDown } from './winding-down.ts'

export class WindDown {
  readonly #db: Database
  readonly #runtime: Runtime

  constructor(db: Database, runtime: Runtime) {
    this.#db = db
    this.#runtime = runtime
  }

  /**
   * Lets a call in by `admit`, which is told whether it is paid from what was set aside. The first call that the money does not suffice for is refused with
   * `WindingDown`, once for each time the money is out; later ones are closing calls.
   */
  async through<T>(caller: Caller, admit: (isClosing: boolean) => Promise<T>): Promise<T> {
    try {
      return await admit(caller.isWindingDown)
    } catch (refusal) {
      if (!(refusal instanceof BudgetRefusal) || refusal.isHeldByOthers || refusal.policy !== 'wind-down' || caller.isWindingDown) throw refusal
      const phase = await this.#begin(caller)
      if (phase === 'begun') throw new WindingDown(refusal)
      // What is remembered of the caller may be a moment old.
      if (phase === 'under-way') return admit(true)
      throw refusal
    }
  }

  async #begin({ subject: { runId } }: Caller): Promise<'begun' | 'under-way' | 'never'> {
    if (!(await hasHandBack(this.#db, runId))) return 'never'
    const running = this.#db.updateTable('runs').set({ winding_down_at: this.#runtime.now() }).where('id', '=', runId).where('state', '=', 'running')
    const begun = await running.where('winding_down_at', 'is', null).returning('id').executeTakeFirst()
    if (begun) return 'begun'
    const run = await this.#db.selectFrom('runs').select(['state', 'winding_down_at']).where('id', '=', runId).executeTakeFirst()
    return run?.state === 'running' && run.winding_down_at !== null ? 'under-way' : 'never'
  }
}
