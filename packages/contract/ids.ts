/** Identifiers on the wire: a prefix that names the kind, then 26 characters that sort by time (ULID, Crockford base32 in lower case). */
import { z } from 'zod'

export const ID_PREFIXES = {
  project: 'prj',
  machine: 'mch',
  run: 'run',
  checkpoint: 'ckp',
  budget: 'bud',
  reservation: 'rsv',
  usageEvent: 'use',
  operation: 'opr',
  approval: 'apr',
  event: 'evt',
  apiKey: 'key',
  exec: 'exe',
  machineArchive: 'arc',
} as const

export type IdKind = keyof typeof ID_PREFIXES
export type Id<K extends IdKind> = `${(typeof ID_PREFIXES)[K]}_${string}`

export type ProjectId = Id<'project'>
export type MachineId = Id<'machine'>
export type RunId = Id<'run'>
export type CheckpointId = Id<'checkpoint'>
export type BudgetId = Id<'budget'>
export type ReservationId = Id<'reservation'>
export type UsageEventId = Id<'usageEvent'>
export type OperationId = Id<'operation'>
export type EventId = Id<'event'>
export type ApiKeyId = Id<'apiKey'>
export type ExecId = Id<'exec'>
export type MachineArchiveId = Id<'machineArchive'>

const BODY = '[0-9a-hjkmnp-tv-z]{26}'

const PATTERNS = Object.fromEntries(Object.entries(ID_PREFIXES).map(([kind, prefix]) => [kind, new RegExp(`^${prefix}_${BODY}$`)])) as Record<IdKind, RegExp>

function idSchema<K extends IdKind>(kind: K): z.ZodType<Id<K>, Id<K>> {
  return z.string().regex(PATTERNS[kind], `must be an id of the form ${ID_PREFIXES[kind]}_…`) as unknown as z.ZodType<Id<K>, Id<K>>
}

export const ProjectId = idSchema('project')
export const MachineId = idSchema('machine')
export const RunId = idSchema('run')
export const CheckpointId = idSchema('checkpoint')
export const BudgetId = idSchema('budget')
export const ReservationId = idSchema('reservation')
export const UsageEventId = idSchema('usageEvent')
export const OperationId = idSchema('operation')
export const EventId = idSchema('event')
export const ApiKeyId = idSchema('apiKey')
export const ExecId = idSchema('exec')
export const MachineArchiveId = idSchema('machineArchive')

/** True when the text has the form of an id of this kind; says nothing about whether the thing exists. */
export function isId<K extends IdKind>(kind: K, text: string): text is Id<K> {
  return PATTERNS[kind].test(text)
}

/** A name a person gives: usable as a DNS label, so that a substrate can carry it too (RFC 1123, 1 to 40 characters). */
export const Name = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/, 'must be 1 to 40 characters of a-z, 0-9 and -, and start and end with a letter or a digit')
