/** What happens to each call of the race: drawn from the seed and the call's number alone, so that each process knows it without being told. */
import { between, drawn, generator } from '../support/chance.ts'

/** What the provider does. The first of a pair says whether it worked, and so bills; the second, whether it told its exact figures. */
const PROVIDER = {
  answers: { weight: 66, billed: true, exact: true },
  'breaks after the figures': { weight: 3, billed: true, exact: true },
  'breaks after the input figures': { weight: 4, billed: true, exact: false },
  'breaks before the figures': { weight: 2, billed: true, exact: false },
  'breaks before the answer': { weight: 2, billed: true, exact: false },
  'ends without the output figures': { weight: 3, billed: true, exact: false },
  'fails in the stream': { weight: 2, billed: true, exact: false },
  'tells broken figures': { weight: 6, billed: true, exact: false },
  'refuses in the stream': { weight: 2, billed: false, exact: false },
  '429': { weight: 3, billed: false, exact: false },
  '500': { weight: 2, billed: false, exact: false },
  '529': { weight: 3, billed: false, exact: false },
} as const
export type ProviderDoes = keyof typeof PROVIDER

const STREAMS_ONLY: readonly ProviderDoes[] = [
  'breaks after the figures',
  'breaks after the input figures',
  'breaks before the figures',
  'ends without the output figures',
  'fails in the stream',
  'refuses in the stream',
]
const CLIENT = { stays: 88, 'leaves while it sends': 2, 'leaves before the answer': 5, 'leaves in the answer': 5 } as const
const MODELS = { 'claude-opus-5-5': 3, 'claude-sonnet-5': 1 } as const
const MAX_TOKENS = { '64': 3, '256': 3, '1024': 2, '4096': 2, '32000': 1 } as const
/** How much of what it may do the provider does; `all` costs exactly what was held for it. */
const WORK = { little: 8, some: 3, all: 1 } as const

export interface CallPlan {
  readonly provider: ProviderDoes
  readonly billed: boolean
  readonly exact: boolean
  readonly stream: boolean
  readonly client: keyof typeof CLIENT
  readonly model: keyof typeof MODELS
  readonly maxTokens: number
  readonly promptBytes: number
  readonly work: keyof typeof WORK
  /** How long the provider thinks, and how long a client that leaves before the answer waits. */
  readonly thinkMs: number
  readonly patienceMs: number
  /** Goes on with the same chance, for details that are nobody else's. */
  readonly chance: () => number
}

/** The plan of one call. */
export function planOf(seed: number, call: number): CallPlan {
  const chance = generator(seed ^ Math.imul(call + 1, 0x9e3779b1))
  const provider = drawn(chance, PROVIDER_WEIGHTS)
  return {
    provider,
    billed: PROVIDER[provider].billed,
    exact: PROVIDER[provider].exact,
    stream: chance() < 0.6 || STREAMS_ONLY.includes(provider),
    client: drawn(chance, CLIENT),
    model: drawn(chance, MODELS),
    maxTokens: Number(drawn(chance, MAX_TOKENS)),
    promptBytes: between(chance, 2, 1500),
    work: drawn(chance, WORK),
    thinkMs: chance() < 0.2 ? between(chance, 1, 150) : 0,
    patienceMs: between(chance, 0, 30),
    chance,
  }
}

const PROVIDER_WEIGHTS = Object.fromEntries(Object.entries(PROVIDER).map(([name, { weight }]) => [name, weight])) as Record<ProviderDoes, number>
