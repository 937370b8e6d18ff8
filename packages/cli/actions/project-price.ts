/** Sets what a model costs a project: dollars for a million tokens, as people say it, exactly as pico-dollars for one. */
import { AutovibeError, type ProjectPrice, type PutProjectPrice } from '@autovibe/contract'
import type { Action } from '../commands/define.ts'
import type { ProjectPriceOptions } from '../commands/project.ts'
import { picoUsd, pricesOf } from '../render/project.ts'
import { answer, findProject, noProvider } from './project.ts'

const EXAMPLE = 'autovibe project price PROJECT MODEL --input 3 --output 15 --context-window 200000'

export const projectPrice: Action<ProjectPriceOptions> = async (context, [ref = '', model = ''], given) => {
  const rates = ratesOf(given)
  const isChange = Object.keys(rates).length > 0
  if (given.remove === true ? isChange : !isChange)
    throw new AutovibeError('request.invalid', given.remove === true ? 'A price is either set or removed.' : 'Nothing is said that should be set.', {
      fix: EXAMPLE,
    })
  const provider = context.settings.withFlag('provider', given.provider).value ?? 'anthropic'
  const client = await context.connect()
  const options = { signal: context.signal }
  const { id, name } = await findProject(client, ref, options)
  if (given.remove === true) {
    const settings = await client.projects.deletePrice(id, provider, model, options)
    answer(context, settings, `project ${name}: ${model} of ${provider} costs what the Hub's table says`, true)
    return 0
  }
  const { prices } = await client.projects.settings(id, options)
  const before = prices.find((price) => price.provider === provider && price.model === model)
  const settings = await client.projects.putPrice(id, provider, model, wholePrice(rates, before), options).catch(noProvider(provider))
  const set = settings.prices.find((price) => price.provider === provider && price.model === model)
  answer(context, settings, `project ${name}: ${model} of ${provider} costs ${set ? pricesOf(set) : 'what was said'}`, true)
  return 0
}

function ratesOf(given: ProjectPriceOptions): Partial<PutProjectPrice> {
  const rates = {
    input: given.input,
    output: given.output,
    cache_read: given.cacheRead,
    cache_write_5m: given.cacheWrite,
    cache_write_1h: given.cacheWrite1h,
  }
  const read = Object.entries(rates).flatMap(([name, text]) => (text === undefined ? [] : [[name, readRate(name, text)] as const]))
  return { ...Object.fromEntries(read), ...(given.contextWindow === undefined ? {} : { context_window_tokens: readTokens(given.contextWindow) }) }
}

const OPTION: Readonly<Record<string, string>> = { cache_write_5m: '--cache-write', cache_write_1h: '--cache-write-1h' }

function readRate(name: string, text: string): string {
  const rate = picoUsd(text)
  if (rate !== undefined) return rate.toString()
  const option = OPTION[name] ?? `--${name.replaceAll('_', '-')}`
  throw new AutovibeError(
    'request.invalid',
    `${option} takes US dollars per million tokens: a number up to 10000 with at most six decimals, not ${JSON.stringify(text)}.`,
    { fix: EXAMPLE },
  )
}

function readTokens(text: string): number {
  if (/^[1-9][0-9]{0,8}$/.test(text)) return Number(text)
  throw new AutovibeError('request.invalid', `--context-window takes a whole number of tokens, not ${JSON.stringify(text)}.`, { fix: EXAMPLE })
}

/** What was said, what was set before, and for the caches of a new price what they cost at most: too low would let more be spent than a limit says. */
function wholePrice(rates: Partial<PutProjectPrice>, before: ProjectPrice | undefined): PutProjectPrice {
  const input = rates.input ?? before?.input
  const output = rates.output ?? before?.output
  const context = rates.context_window_tokens ?? before?.context_window_tokens
  if (input === undefined || output === undefined || context === undefined)
    throw new AutovibeError(
      'request.invalid',
      'A new price needs --input, --output and --context-window; by the last one the most that a call can cost is known.',
      {
        fix: EXAMPLE,
      },
    )
  return {
    context_window_tokens: context,
    input,
    output,
    cache_read: rates.cache_read ?? before?.cache_read ?? input,
    cache_write_5m: rates.cache_write_5m ?? before?.cache_write_5m ?? times(input, 125n),
    cache_write_1h: rates.cache_write_1h ?? before?.cache_write_1h ?? times(input, 200n),
  }
}

/** Rounded up. */
const times = (rate: string, percent: bigint): string => ((BigInt(rate) * percent + 99n) / 100n).toString()
