/** A step as lines for people, and a change of what one has cost. */
import type { Step } from '@autovibe/contract'
import type { CostMoment, StepMoment } from '../follow/costs.ts'
import type { Paint } from '../output.ts'
import { addition, dollars } from './money.ts'
import { count, duration, plain, truncate } from './text.ts'

export function renderStep({ step, cost_before, spent, limit }: StepMoment, paint: Paint): string[] {
  const isInterrupted = step.outcome === 'interrupted'
  const shown = addition((BigInt(step.cost) - BigInt(cost_before)).toString(), spent, limit)
  const before = cost_before === '0' ? '' : ` besides the ${dollars(BigInt(cost_before))} told before`
  const parts = [
    paint.bold(`step ${step.index}`),
    isInterrupted ? paint.yellow(step.cost === '0' ? 'interrupted before the model answered' : 'interrupted') : '',
    plain(step.model),
    tokens(step),
    `${shown.amount}${before} ${paint.dim(`(${shown.sum} of ${shown.limit})`)}`,
  ]
  const lines = [parts.filter((part) => part !== '').join('  ')]
  const words = plain(step.text)
  if (words !== '') lines.push(`  ${paint.dim(truncate(words, 160))}`)
  for (const tool of step.tools)
    lines.push(
      `  ${tool.is_error ? paint.red('✗') : paint.green('✓')} ${plain(tool.name)} ${truncate(plain(tool.summary), 120)} ${paint.dim(duration(tool.duration_ms))}`,
    )
  return lines
}

export function renderCostChange({ index, change, spent, limit }: CostMoment, paint: Paint): string[] {
  const shown = addition(change, spent, limit)
  const what = index === null ? 'calls beside the steps' : change.startsWith('-') ? 'less than told before' : 'more than told before'
  return [[...(index === null ? [] : [paint.bold(`step ${index}`)]), what, `${shown.amount} ${paint.dim(`(${shown.sum} of ${shown.limit})`)}`].join('  ')]
}

/** Nothing for a call that was cut off before anybody counted. */
function tokens(step: Step): string {
  const input = BigInt(step.input_tokens) + BigInt(step.cache_read_tokens) + BigInt(step.cache_write_tokens)
  if (step.outcome === 'interrupted' && input === 0n && step.output_tokens === '0') return ''
  const cached = BigInt(step.cache_read_tokens) > 0n ? `, ${count(step.cache_read_tokens)} cached` : ''
  return `${count(input)} in${cached}, ${count(step.output_tokens)} out`
}
