/** What a rollback cannot undo, for people. */
import type { RollbackEffects } from '@autovibe/contract'
import { age, bytes, count, plain, plural, truncate, usd } from './text.ts'

/** Of each kind so many are named on its line; all that the Hub names are in --json. */
const NAMED = 5
const COMMAND_CHARS = 60

/** A sentence, and a line for each kind of thing that there was. */
export function effectLines({ since, model_calls, egress, commands }: RollbackEffects, nowMs: number): string[] {
  const lines = [
    ...(model_calls.total === 0 ? [] : [`  ${plural(model_calls.total, 'model call')}, ${usd(model_calls.cost)}${modelsOf(model_calls)}`]),
    ...(egress.connections === 0 ? [] : [`  ${plural(egress.connections, 'connection')}, ${bytes(Number(egress.bytes))}: ${destinationsOf(egress)}`]),
    ...(commands.total === 0 ? [] : [`  ${plural(commands.total, 'command')} of people: ${commandsOf(commands)}`]),
  ]
  if (lines.length === 0) return ['Nothing that cannot be undone: since then no model call, no connection, no command of people.']
  return [`What cannot be undone, of the last ${age(since, nowMs)}:`, ...lines]
}

function modelsOf({ models, estimated }: RollbackEffects['model_calls']): string {
  const named = models.map(({ model, calls }) => `${count(calls)} ${plain(model ?? 'of no known model')}`)
  const guess = estimated === 0 ? '' : `; the cost of ${count(estimated)} is estimated`
  return ` (${few(named, models.length)}${guess})`
}

const destinationsOf = ({ destinations, total }: RollbackEffects['egress']): string =>
  few(
    destinations.map((one) => `${plain(one.destination)} (${count(one.connections)}, ${bytes(Number(one.bytes))})`),
    total,
  )

const commandsOf = ({ items, total }: RollbackEffects['commands']): string =>
  few(
    items.map(({ command, actor_name }) => `${truncate(plain(command) || 'a shell', COMMAND_CHARS)} (${plain(actor_name)})`),
    total,
  )

function few(words: readonly string[], total: number): string {
  const shown = words.slice(0, NAMED)
  const more = total - shown.length
  return `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}
