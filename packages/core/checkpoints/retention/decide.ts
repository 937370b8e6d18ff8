/** Which checkpoints of a project stay, and why, and which may expire. */
import { type CheckpointId, type RetentionRules, retentionInWords } from '@autovibe/contract'
import { type CheckpointFact, isRestorable, newestFirst, type OnLine, readLines } from './lines.ts'

export interface Decision<F extends CheckpointFact = CheckpointFact> {
  readonly fact: F
  readonly verdict: 'keep' | 'expire'
  /** For people; of one that expires, why nothing keeps it. */
  readonly reasons: readonly string[]
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** 1970-01-01 was a Thursday: three days after the Monday of its week. */
const MONDAY_OFFSET_DAYS = 3

/** The states in which nobody works on a checkpoint any more. */
const SETTLED: ReadonlySet<string> = new Set(['verified', 'corrupt', 'failed'])

/**
 * One decision for each checkpoint that is not expired yet, newest first. `facts` are all of the project's, expired ones included, since lines lead over them. What a rule counts is of each
 * machine by itself (the imports are one), and of what can be restored: failed ones push out no good one. A checkpoint from the future (the clock was set back) stays and takes nobody's place.
 */
export function decideRetention<F extends CheckpointFact>(facts: readonly F[], rules: RetentionRules, nowMs: number): readonly Decision<F>[] {
  const lines = readLines(facts)
  const living = [...lines.values()].filter(({ fact }) => fact.state !== 'expired').sort(newestFirst)
  const reasons = new Map<CheckpointId, string[]>(living.map(({ fact }) => [fact.id, []]))
  const keep = (id: CheckpointId, why: string): void => {
    const known = reasons.get(id)
    if (known !== undefined && !known.includes(why)) known.push(why)
  }
  for (const one of living) keepNeeded(one, lines, nowMs, keep)
  for (const ofMachine of Map.groupBy(living, ({ fact }) => (isImport(fact) ? 'imports' : fact.machineId)).values()) keepByRules(ofMachine, rules, nowMs, keep)
  // Last, for it asks what stays. The base of a base is that base itself.
  for (const { fact, diffBase } of living) {
    const base = lines.get(diffBase)
    if (diffBase !== fact.id && reasons.get(fact.id)?.length !== 0 && base !== undefined && isRestorable(base.fact))
      keep(diffBase, 'diffs of later checkpoints that stay begin there')
  }
  return living.map(({ fact }) => {
    const why = reasons.get(fact.id) ?? []
    return why.length > 0 ? { fact, verdict: 'keep', reasons: why } : { fact, verdict: 'expire', reasons: [`no rule keeps it: ${retentionInWords(rules)}`] }
  })
}

type Keep = (id: CheckpointId, why: string) => void

function keepNeeded({ fact }: OnLine, lines: ReadonlyMap<CheckpointId, OnLine>, nowMs: number, keep: Keep): void {
  const { id, parentId, headOf, usedBy, state } = fact
  if (fact.pinned) keep(id, 'it is pinned')
  if (headOf !== null) {
    keep(id, `the machine ${headOf} stands on it`)
    const base = lines.get(id)?.restorable
    if (base) keep(base, `the next checkpoint of ${headOf} builds on it`)
  }
  if (usedBy !== null) keep(id, `an operation that has not ended needs it (${usedBy})`)
  if (!SETTLED.has(state)) {
    keep(id, `it is ${state}`)
    const base = parentId === null ? null : lines.get(parentId)?.restorable
    if (base) keep(base, 'a checkpoint that is still being stored builds on it')
  }
  if (fact.createdAtMs > nowMs) keep(id, 'its time has not come yet: the clock was set back')
}

/** Each import has a machine of its own, which never ran: counted by machines, all of them would stay for ever. */
const isImport = ({ trigger }: CheckpointFact): boolean => trigger === 'import'
const ownerOf = (fact: CheckpointFact): string => (isImport(fact) ? 'the imports' : fact.machineName)

/** `ofMachine`: newest first. */
function keepByRules(ofMachine: readonly OnLine[], rules: RetentionRules, nowMs: number, keep: Keep): void {
  const past = ofMachine.filter(({ fact }) => SETTLED.has(fact.state) && fact.createdAtMs <= nowMs).map(({ fact }) => fact)
  const good = past.filter(isRestorable)
  const broken = past.filter((fact) => !isRestorable(fact))
  for (const fact of good.slice(0, rules.keep_last)) keep(fact.id, `it is one of the last ${rules.keep_last} of ${ownerOf(fact)}`)
  for (const fact of broken.slice(0, rules.keep_last))
    keep(fact.id, `it is one of the last ${rules.keep_last} of ${ownerOf(fact)} that ${fact.state === 'failed' ? 'failed' : 'are damaged'}`)
  keepBuckets(good, rules.hourly, hourOf, (bucket) => `it is the last of the hour ${timeOf(bucket * HOUR_MS, 13)}:00`, keep)
  keepBuckets(good, rules.daily, dayOf, (bucket) => `it is the last of ${timeOf(bucket * DAY_MS, 10)}`, keep)
  keepBuckets(good, rules.weekly, weekOf, (bucket) => `it is the last of the week from ${timeOf((bucket * 7 - MONDAY_OFFSET_DAYS) * DAY_MS, 10)}`, keep)
}

const hourOf = ({ createdAtMs }: CheckpointFact): number => Math.floor(createdAtMs / HOUR_MS)
const dayOf = ({ createdAtMs }: CheckpointFact): number => Math.floor(createdAtMs / DAY_MS)
const weekOf = (fact: CheckpointFact): number => Math.floor((dayOf(fact) + MONDAY_OFFSET_DAYS) / 7)
const timeOf = (ms: number, characters: number): string => new Date(ms).toISOString().slice(0, characters).replace('T', ' ')

/** The newest of each of the last `count` spans of time that have any. `facts`: newest first. */
function keepBuckets(
  facts: readonly CheckpointFact[],
  count: number,
  bucketOf: (fact: CheckpointFact) => number,
  why: (bucket: number) => string,
  keep: Keep,
): void {
  const newest = new Map<number, CheckpointFact>()
  for (const fact of facts) if (!newest.has(bucketOf(fact))) newest.set(bucketOf(fact), fact)
  const last = [...newest].sort(([one], [other]) => other - one).slice(0, count)
  for (const [bucket, { id }] of last) keep(id, why(bucket))
}
