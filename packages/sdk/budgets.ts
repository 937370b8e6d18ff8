/** Budgets and the ledger beneath them, and usage events. */
import type { Budget, BudgetQuery, CreateBudget, LedgerAudit, LedgerEntry, UpdateBudget, UsageEvent, UsageQuery } from '@autovibe/contract'
import { type List, list } from './pages.ts'
import type { CallOptions, Transport } from './transport.ts'

export class Budgets {
  readonly #transport: Transport
  constructor(transport: Transport) {
    this.#transport = transport
  }

  create(budget: CreateBudget, options?: CallOptions): Promise<Budget> {
    return this.#transport.json('POST', '/budgets', { ...options, body: budget })
  }

  list(query: Partial<BudgetQuery> = {}, options?: CallOptions): List<Budget> {
    return list(this.#transport, '/budgets', query, options)
  }

  get(id: string, options?: CallOptions): Promise<Budget> {
    return this.#transport.json('GET', at(id), options)
  }

  /** Changes the budget as it was read; `request.precondition_failed` when it has changed since. */
  update(budget: Pick<Budget, 'id' | 'version'>, change: UpdateBudget, options?: CallOptions): Promise<Budget> {
    return this.#transport.json('PATCH', at(budget.id), { ...options, body: change, headers: { 'if-match': `"${budget.version}"` } })
  }

  ledger(id: string, options?: CallOptions): List<LedgerEntry> {
    return list(this.#transport, `${at(id)}/ledger`, {}, options)
  }

  /** Recomputes every balance; asks for the role admin. */
  audit(options?: CallOptions): Promise<LedgerAudit> {
    return this.#transport.json('POST', '/budgets/audit', { ...options })
  }
}

const at = (id: string): string => `/budgets/${encodeURIComponent(id)}`

export class Usage {
  readonly #transport: Transport
  constructor(transport: Transport) {
    this.#transport = transport
  }

  list(query: Partial<UsageQuery> = {}, options?: CallOptions): List<UsageEvent> {
    return list(this.#transport, '/usage-events', query, options)
  }
}
