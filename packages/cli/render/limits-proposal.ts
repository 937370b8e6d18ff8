/** A proposal of limits for people, and the command that applies it. */
import type { LimitProposal, LimitsProposal } from '@autovibe/contract'
import type { Paint } from '../output.ts'
import { bytes, count, duration, plain, table } from './text.ts'

type Proposals = NonNullable<LimitsProposal['proposal']>
const PARTS = [
  { key: 'cores', option: '--cores', words: String, typed: String },
  { key: 'memory_bytes', option: '--memory', words: bytes, typed: size },
  { key: 'disk_bytes', option: '--disk', words: bytes, typed: size },
] as const

export function renderProposal(project: string, proposed: LimitsProposal, paint: Paint): string[] {
  const { proposal, runs, runs_needed, seen_seconds, seen_seconds_needed } = proposed
  const seen = `${count(runs)} ${runs === 1 ? 'run' : 'runs'}, ${duration(seen_seconds * 1000)} at work`
  if (proposal === null)
    return [
      `project ${project}: too little was seen yet to propose limits (${seen}). It takes ${runs_needed} runs and ${duration(seen_seconds_needed * 1000)} at work in 30 days.`,
    ]
  const [head = '', ...lines] = table(
    ['LIMIT', 'NOW', 'PROPOSED', 'BECAUSE'],
    partsOf(proposal).map(({ key, words, limit }) => [
      key.replace('_bytes', ''),
      words(limit.now),
      limit.proposed === limit.now ? 'as it is' : words(limit.proposed),
      plain(limit.reason),
    ]),
  )
  return [`project ${project}: what a new machine should be given, by ${seen}.`, paint.bold(head), ...lines]
}

/** Null where there is nothing to change. */
export function commandOf(project: string, { proposal }: LimitsProposal): string | null {
  const changes = proposal === null ? [] : partsOf(proposal).filter(({ limit }) => limit.proposed !== limit.now)
  return changes.length === 0
    ? null
    : `autovibe project limits ${project} ${changes.map(({ option, typed, limit }) => `${option} ${typed(limit.proposed)}`).join(' ')}`
}

function partsOf(proposal: Proposals): ((typeof PARTS)[number] & { readonly limit: LimitProposal })[] {
  return PARTS.flatMap((part) => {
    const limit = proposal[part.key]
    return limit === null ? [] : [{ ...part, limit }]
  })
}

/** As the options take it, without loss. */
function size(amount: number): string {
  for (const [unit, factor] of [
    ['GiB', 1024 ** 3],
    ['MiB', 1024 ** 2],
  ] as const)
    if (amount % factor === 0) return `${amount / factor}${unit}`
  return String(amount)
}
