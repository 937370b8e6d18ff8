/** Reads amounts of money as people type them. */
import { AutovibeError, parseUsd } from '@autovibe/contract'
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
    throw new AutovibeError('request.invalid', `${JSON.stringify(setting.value)}${from} is not an amount in US dollars.`, {
      fix: 'Write it as a number with at most nine decimals: --budget 2.00',
    })
  if (amount === 0n)
    throw new AutovibeError('request.invalid', `The budget must be more than $0${from}: nothing can run for nothing.`, { fix: '--budget 2.00' })
  return amount.toString()
}
