/** Which checkpoints of a project stay: rules, what follows from them, and what all of it takes in the store. */
import { z } from 'zod'
import { Time } from './common.ts'
import { CheckpointId, Name, OperationId, ProjectId } from './ids.ts'

const RULE_MAX = 10_000
const rule = (least: number) => z.int().min(least).max(RULE_MAX)

/** Of each machine by itself, since a checkpoint of one is none of another. */
export const RetentionRules = z.object({
  keep_last: rule(1).describe('The newest so many'),
  hourly: rule(0).describe('The newest of each of the last so many hours that have one'),
  daily: rule(0).describe('The newest of each of the last so many days (UTC) that have one'),
  weekly: rule(0).describe('The newest of each of the last so many weeks (Monday to Sunday, UTC) that have one'),
})
export type RetentionRules = z.infer<typeof RetentionRules>

/** For projects that set none: a working day step by step, a fortnight by days, two months by weeks; equal contents are stored once, so that the far ones cost little. */
export const DEFAULT_RETENTION: RetentionRules = { keep_last: 20, hourly: 24, daily: 14, weekly: 8 }

/** For people. */
export function retentionInWords({ keep_last, hourly, daily, weekly }: RetentionRules): string {
  const spans = [`${hourly} hours`, `${daily} days`, `${weekly} weeks`].filter((span) => !span.startsWith('0 '))
  return `of each machine the last ${keep_last}${spans.length === 0 ? '' : `, and one for each of ${spans.join(', ')}`}`
}

export const PutProjectRetention = RetentionRules.partial().describe('What is left out is as by default')
export type PutProjectRetention = z.infer<typeof PutProjectRetention>

export const RetentionRequest = z.object({
  rules: RetentionRules.partial().default({}).describe("Instead of the project's own, for this once"),
  apply: z.boolean().default(false).describe('Expire what the answer names; otherwise nothing is changed'),
  limit: z.int().min(1).max(1000).default(200).describe('How many of each kind are listed; the totals are of all'),
})
export type RetentionRequest = z.input<typeof RetentionRequest>

const RetainedCheckpoint = z.object({
  id: CheckpointId,
  machine_name: Name,
  created_at: Time,
  bytes: z.int().nullable(),
  reasons: z.array(z.string()).describe('Why it stays, or goes, in words'),
})
export type RetainedCheckpoint = z.infer<typeof RetainedCheckpoint>
const Retained = z.object({ total: z.int(), items: z.array(RetainedCheckpoint).describe('Newest first') })

export const RetentionPlan = z.object({
  project_id: ProjectId,
  rules: RetentionRules,
  expire: Retained,
  keep: Retained,
  operation_ids: z.array(OperationId).describe('What expires them, each looking again before it does; empty when nothing was applied'),
})
export type RetentionPlan = z.infer<typeof RetentionPlan>

/** `GET /v1/projects/{project}/storage`. */
export const ProjectStorage = z.object({
  project_id: ProjectId,
  checkpoints: z.int().describe('Those that can be gone back to'),
  logical_bytes: z.int().describe('What their trees would take one beside the other'),
  unique_bytes: z.int().describe('What the store holds of them, each content once, as it is when unpacked'),
  stored_bytes: z.int().describe('What that takes where it lies'),
})
export type ProjectStorage = z.infer<typeof ProjectStorage>
