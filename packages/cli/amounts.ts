/** Reads amounts of money as people type them. */
import { AutovibeError, BUDGET_POLICIES, type BudgetPolicy, parseUsd } from '@autovibe/contract'
import type { Setting } from './settings.ts'

/** Nano-US-dollars as the wire wants them; `request.invalid` for anything that is not more than nothing. */
export function readBudget(setting: Setting): string {
  if (setting.value === undefined) {
    throw new AutovibeError('request.invalid', 'A run needs a budget: the most it may spend, in US dollars.', {
      fix: 'Add --budget 2.00, or set AUTOVIBE_BUDGET.',
    })
  }
  const amount = parseUsd(setting.value)
  const from = setting.origin.startsWith('--') ? '' : ` (from ${setting.origin})`
  if (amount === undefined)
    throw new AutovibeError(
      'request.invalid',
      `${JSON.stringify(setting.value)}${from} is not an amount in US dollars: a number below a billion, with at most nine decimals.`,
      {
        fix: '--budget 2.00',
      },
    )
  if (amount === 0n)
    throw new AutovibeError('request.invalid', `The budget must be more than $0${from}: nothing can run for nothing.`, { fix: '--budget 2.00' })
  return amount.toString()
}

/** What shall happen at the limit of a run, as the wire wants it. */
export interface AtLimit {
  readonly on_limit?: BudgetPolicy
  readonly hand_back?: string
}

/** `budget`: what the run may spend, as the wire wants it. */
export function readAtLimit(budget: string, { onLimit, handBack }: { readonly onLimit?: string | undefined; readonly handBack?: string | undefined }): AtLimit {
  const policy = onLimit === undefined ? undefined : readPolicy(onLimit)
  if (handBack === undefined) return policy === undefined ? {} : { on_limit: policy }
  if (policy !== 'wind-down')
    throw new AutovibeError('request.invalid', '--hand-back sets something aside for closing the work, which is done with --on-limit wind-down.', {
      fix: `--on-limit wind-down --hand-back ${handBack}`,
    })
  const amount = parseUsd(handBack)
  if (amount === undefined || amount === 0n || amount >= BigInt(budget))
    throw new AutovibeError(
      'request.invalid',
      `--hand-back takes an amount in US dollars, more than nothing and less than the budget, not ${JSON.stringify(handBack)}.`,
      {
        fix: '--hand-back 0.10',
      },
    )
  return { on_limit: policy, hand_back: amount.toString() }
}

/** `request.invalid` for a word that is no policy. */
export function readPolicy(word: string): BudgetPolicy {
  const policy = BUDGET_POLICIES.find((known) => known === word)
  if (policy) return policy
  throw new AutovibeError('request.invalid', `--on-limit takes one of ${BUDGET_POLICIES.join(', ')}, not ${JSON.stringify(word)}.`, {
    fix: '--on-limit wind-down',
  })
}
