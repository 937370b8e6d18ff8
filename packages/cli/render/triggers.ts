/** When checkpoints are taken by themselves, for people. */
import type { TriggerSettings } from '@autovibe/contract'
import { duration, plain } from './text.ts'

/** A line for each thing that asks for one, then what holds it back. */
export function triggerLines(settings: TriggerSettings): string[] {
  const { after_response, before_risky, risky_patterns, every_minutes, every_budget_percent, at_end, floor_seconds } = settings
  const named = risky_patterns.map(plain).join(', ')
  return [
    ...(after_response === 'never' ? [] : [`after a step of the agent${after_response === 'always' ? '' : ' that may have changed files'}`]),
    ...(before_risky ? [`before a command that may lose or publish work, while something is not kept${named === '' ? '' : `; that is also: ${named}`}`] : []),
    ...(every_minutes === 0 ? [] : [`when ${minutes(every_minutes)} have passed since the last one`]),
    ...(every_budget_percent === 0 ? [] : [`for each ${every_budget_percent} % of a run's budget that is spent`]),
    `at the end of a run${at_end ? '' : ', if something has changed that is not kept'}`,
    ...(before_risky || named === '' ? [] : [`not before risky commands, though some are named: ${named}`]),
    ...(floor_seconds === 0 ? [] : [`no sooner than ${seconds(floor_seconds)} after the last one, but for a start, an end and a risk to changes`]),
  ]
}

/** The same in one line. */
export function triggersInWords(settings: TriggerSettings): string {
  const { after_response, before_risky, every_minutes, every_budget_percent, at_end, floor_seconds } = settings
  const when = [
    ...(after_response === 'never' ? [] : [after_response === 'always' ? 'after each step' : 'after changes']),
    ...(before_risky ? ['before risky commands'] : []),
    ...(every_minutes === 0 ? [] : [`every ${minutes(every_minutes)}`]),
    ...(every_budget_percent === 0 ? [] : [`for each ${every_budget_percent} % of the budget`]),
    at_end ? 'at the end' : 'at the end if something has changed',
  ]
  return `${when.join(', ')}${floor_seconds === 0 ? '' : `; at least ${seconds(floor_seconds)} apart`}`
}

const minutes = (number: number): string => (number < 60 ? `${number} min` : duration(number * 60_000))
const seconds = (number: number): string => (number < 60 ? `${number} s` : duration(number * 1000))
