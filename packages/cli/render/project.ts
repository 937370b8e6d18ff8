/** Projects for people, with what each has set for itself. */
import { type EgressRule, type Project, type ProjectPrice, type ProjectSettings, retentionInWords } from '@autovibe/contract'
import { AUTOVIBE } from '../called.ts'
import { limitsInWords } from '../limits.ts'
import type { Paint } from '../output.ts'
import { fields } from './resources.ts'
import { age, bytes, count, plain, table } from './text.ts'
import { triggersInWords } from './triggers.ts'

export function renderProjects(projects: readonly Project[], nowMs: number, paint: Paint): string[] {
  if (projects.length === 0) return ['No projects. A run makes one of a git checkout:', `  ${AUTOVIBE} run "PROMPT" --project PATH --budget 2.00`]
  const [head = '', ...lines] = table(
    ['PROJECT', 'BRANCH', 'COMMIT', 'IMPORTED', 'ID'],
    projects.map(({ name, source, id }) => [
      name,
      plain(source?.branch ?? '-'),
      source ? `${source.base_commit.slice(0, 8)}${source.dirty ? ' and changes' : ''}` : '-',
      source ? `${age(source.imported_at, nowMs)} ago` : '-',
      id,
    ]),
  )
  return [paint.bold(head), ...lines]
}

export function renderProject({ id, name, source, created_at }: Project, settings: ProjectSettings, nowMs: number, paint: Paint): string[] {
  const { prices, keys } = settings
  const whole = fields([
    ['project', name],
    ['id', id],
    ['made', `${age(created_at, nowMs)} ago`],
    [
      'source',
      source === null
        ? '-'
        : `${plain(source.branch ?? 'no branch')} at ${source.base_commit.slice(0, 8)}${source.dirty ? ' and changes' : ''}, ${bytes(source.bytes)}, imported ${age(source.imported_at, nowMs)} ago`,
    ],
    ['models', modelsOf(settings)],
    ['limits', limitsInWords(settings.limits).join(', ') || 'as the host allows'],
    ['keys', keys.length === 0 ? 'those of the Hub' : keys.map(({ provider, origin }) => `${provider} (its own, for ${plain(origin)})`).join(', ')],
    ['network', settings.egress.length === 0 ? 'nothing but the Hub' : settings.egress.map(destinationOf).join(', ')],
    ['checkpoints', `kept are ${retentionInWords(settings.retention)}`],
    ['triggers', triggersInWords(settings.triggers)],
    ['prices', prices.length === 0 ? "those of the Hub's table" : 'of its own, for the models below; else those of the Hub'],
  ])
  if (prices.length === 0) return whole
  const [head = '', ...lines] = table(
    ['MODEL', 'PROVIDER', 'INPUT', 'OUTPUT', 'CACHE READ', 'WRITE 5 MIN', 'WRITE 1 H', 'WINDOW'],
    prices.map((price) => [
      plain(price.model),
      price.provider,
      ...[price.input, price.output, price.cache_read, price.cache_write_5m, price.cache_write_1h].map(perMillion),
      count(price.context_window_tokens),
    ]),
  )
  return [...whole, '', 'US dollars per million tokens:', paint.bold(head), ...lines]
}

export const modelsOf = ({ allowed_models }: Pick<ProjectSettings, 'allowed_models'>): string =>
  allowed_models === null ? 'may call every model that has a price' : `may call ${allowed_models.map(plain).join(', ')} and no other model`

/** A sentence, then a line for each destination. */
export const egressOf = ({ egress }: Pick<ProjectSettings, 'egress'>): string[] =>
  egress.length === 0
    ? ['its machines reach nothing but the Hub.']
    : ['its machines may reach, beyond the Hub:', ...egress.map((rule) => `  ${destinationOf(rule)}`)]

const destinationOf = ({ destination, private: isPrivate }: EgressRule): string => `${plain(destination)}${isPrivate ? ' (a private address)' : ''}`

/** All of a price in one sentence. */
export const pricesOf = (price: ProjectPrice): string =>
  [
    `${perMillion(price.input)} input`,
    `${perMillion(price.output)} output`,
    `${perMillion(price.cache_read)} cache read`,
    `${perMillion(price.cache_write_5m)} and ${perMillion(price.cache_write_1h)} cache write (5 minutes, 1 hour)`,
  ]
    .join(', ')
    .concat(` per million tokens; window ${count(price.context_window_tokens)} tokens`)

const DECIMALS = 6
/** Of a dollar for a million tokens: 10^12 pico-dollars over 10^6 tokens. */
const PICO_PER_TOKEN = 10n ** 6n
const MOST_PICO_USD = 10_000n * PICO_PER_TOKEN

/** Pico-dollars per token of what a person says in dollars per million; undefined for what is no such amount or has more decimals than can be kept. */
export function picoUsd(text: string): bigint | undefined {
  const [, whole, fraction = ''] = /^\$?([0-9]{1,5})(?:\.([0-9]{1,6}))?$/.exec(text.trim()) ?? []
  if (whole === undefined) return undefined
  const rate = BigInt(whole) * PICO_PER_TOKEN + BigInt(fraction.padEnd(DECIMALS, '0'))
  return rate <= MOST_PICO_USD ? rate : undefined
}

/** The same back, exactly. */
export function perMillion(picoUsdPerToken: string): string {
  const rate = BigInt(picoUsdPerToken)
  const fraction = (rate % PICO_PER_TOKEN).toString().padStart(DECIMALS, '0').replace(/0+$/, '').padEnd(2, '0')
  return `$${rate / PICO_PER_TOKEN}.${fraction}`
}
