/** What the project of a caller has set for itself, as the gateway needs it for each call: read with the caller, so that a call asks nothing more. */
import { AutovibeError, type ProjectId } from '@autovibe/contract'
import { type PriceOverride, withOverrides } from '@autovibe/core/budgets/price-overrides.ts'
import type { PriceTable } from '@autovibe/core/budgets/prices.ts'

export interface CallerSettings {
  /** `model.not_allowed` unless the project may call it. */
  assertAllowed(model: string): void
  /** The wire's prices with those of the project in their place. */
  prices(listed: PriceTable): PriceTable
}

/** A row of `project_prices` as JSON; numbers beyond 2^53 do not survive that, so they are text. */
export interface PriceRow {
  readonly model: string
  readonly context_window_tokens: string
  readonly input: string
  readonly cache_read: string
  readonly cache_write_5m: string
  readonly cache_write_1h: string
  readonly output: string
  readonly updated_at: string
}

export function settingsOf(projectId: ProjectId, allowedModels: readonly string[] | null, rows: readonly PriceRow[]): CallerSettings {
  const allowed = allowedModels && new Set(allowedModels)
  const overrides = rows.map(overrideOf)
  const newest = rows
    .map(({ updated_at }) => updated_at)
    .sort()
    .at(-1)
  const made = new Map<PriceTable, PriceTable>()
  return {
    assertAllowed(model) {
      if (allowed === null || allowed.has(model)) return
      throw new AutovibeError('model.not_allowed', `The project does not allow the model ${JSON.stringify(model.slice(0, 200))}.`, {
        fix: `Use one that it allows, for example ${[...allowed][0]}, or allow it: PUT /v1/projects/${projectId}/models`,
      })
    },
    prices(listed) {
      if (overrides.length === 0) return listed
      const known = made.get(listed) ?? withOverrides(listed, overrides, `${projectId}@${newest}`)
      made.set(listed, known)
      return known
    },
  }
}

const overrideOf = (row: PriceRow): PriceOverride => ({
  model: row.model,
  contextWindowTokens: BigInt(row.context_window_tokens),
  rates: {
    input: BigInt(row.input),
    cacheRead: BigInt(row.cache_read),
    cacheWrite5m: BigInt(row.cache_write_5m),
    cacheWrite1h: BigInt(row.cache_write_1h),
    output: BigInt(row.output),
  },
})
