/** A checkpoint: a restorable point of a machine's files and its agent's conversation. */
import { z } from 'zod'
import { PageQuery, Sha256, Time, waitQuery } from './common.ts'
import { CheckpointId, MachineId, Name, OperationId, ProjectId, RunId } from './ids.ts'
import { SubstrateTier } from './machines.ts'
import { NanoUsd } from './money.ts'

/** `pending` asked for, `capturing` frozen on the substrate and being read, `stored` in the store, `verified` read back and hash-checked. */
export const CHECKPOINT_STATES = ['pending', 'capturing', 'stored', 'verified', 'corrupt', 'failed', 'expired'] as const
export const CheckpointState = z.enum(CHECKPOINT_STATES)
export type CheckpointState = z.infer<typeof CheckpointState>

export const CHECKPOINT_TRIGGERS = [
  'start',
  'model-response',
  'files-changed',
  'risky-command',
  'interval',
  'budget',
  'demand',
  'exit',
  'rollback',
  'import',
] as const
export const CheckpointTrigger = z.enum(CHECKPOINT_TRIGGERS)
export type CheckpointTrigger = z.infer<typeof CheckpointTrigger>

export const Checkpoint = z.object({
  id: CheckpointId,
  project_id: ProjectId,
  machine_id: MachineId,
  machine_name: Name,
  run_id: RunId.nullable(),
  parent_id: CheckpointId.nullable(),
  trigger: CheckpointTrigger,
  label: z.string().nullable(),
  state: CheckpointState,
  state_reason: z.string().nullable(),
  /** Somebody said that it stays, whatever the rules of retention say. */
  pinned: z.boolean(),
  /** `fuzzy`: a file was open for writing when the tree was frozen. */
  consistency: z.enum(['consistent', 'fuzzy']).nullable(),
  manifest_sha256: Sha256.nullable(),
  files: z.int().nullable(),
  bytes: z.int().nullable(),
  /** Bytes that this checkpoint added to the store. */
  new_bytes: z.int().nullable(),
  step: z.int().nullable(),
  /** What the run had spent when it was taken. */
  spent: NanoUsd,
  tier: SubstrateTier.nullable(),
  created_at: Time,
  verified_at: Time.nullable(),
})
export type Checkpoint = z.infer<typeof Checkpoint>

export const CreateCheckpoint = z.object({ label: z.string().min(1).max(200).optional() })
export type CreateCheckpoint = z.infer<typeof CreateCheckpoint>
export const CreatedCheckpoint = z.object({ checkpoint: Checkpoint, operation_id: OperationId })
export type CreatedCheckpoint = z.infer<typeof CreatedCheckpoint>

export const VerifyCheckpoint = z.object({
  restore: z.boolean().default(false).describe('Also restores all of it to a private folder of the Hub and compares that with the manifest'),
})
export type VerifyCheckpoint = z.input<typeof VerifyCheckpoint>

export const ForkCheckpoint = z.object({
  name: Name.optional(),
  budget: NanoUsd.optional().describe('The most the new machine may spend; without it, what is left of its parent'),
})
export type ForkCheckpoint = z.infer<typeof ForkCheckpoint>
export const ForkedCheckpoint = z.object({ machine_id: MachineId, machine_name: Name, operation_id: OperationId })
export type ForkedCheckpoint = z.infer<typeof ForkedCheckpoint>

export const RollbackMachine = z.object({ checkpoint: CheckpointId })
export type RollbackMachine = z.infer<typeof RollbackMachine>

export const CheckpointQuery = PageQuery.extend({
  project: ProjectId.optional(),
  machine: MachineId.optional(),
  run: RunId.optional(),
  state: CheckpointState.optional(),
})
export type CheckpointQuery = z.infer<typeof CheckpointQuery>
export const CheckpointWait = waitQuery(['capturing', 'stored', 'verified'])

export const FILE_TYPES = ['file', 'directory', 'symlink'] as const

/** One entry of a manifest. Paths are relative to the tree (`project/…`, `home/…`); a byte that is not UTF-8 is written `\xNN`, a backslash `\\`. */
export const ManifestEntry = z.object({
  path: z.string(),
  type: z.enum(FILE_TYPES),
  /** Permission bits, as a number. */
  mode: z.int(),
  size: z.int(),
  mtime_ms: z.number(),
  sha256: Sha256.nullable(),
  link_target: z.string().nullable(),
})
export type ManifestEntry = z.infer<typeof ManifestEntry>

/** `GET /v1/checkpoints/{id}/content?path=`: the bytes of one file, as application/octet-stream. */
export const ContentQuery = z.object({ path: z.string().min(1).max(8192) })

/** `GET /v1/checkpoints/{id}/archive`: a tar (POSIX pax). */
export const ArchiveQuery = z.object({
  contents: z
    .enum(['project', 'all'])
    .default('project')
    .describe('The files of the project, without what is named .git; or everything that the checkpoint holds'),
  ignored: z.stringbool().default(true).describe('Of the project: also new files that its own .gitignore (as it was before) names'),
  inner_git: z.stringbool().default(false).describe('Of the project: also what is named .git below its top, for a reader that refuses it'),
})
export type ArchiveQuery = z.output<typeof ArchiveQuery>
/** Headers of that answer: the imported commit beneath, and the one of the user's own repository beneath that; missing where there is none. */
export const ARCHIVE_HEADERS = { sourceCommit: 'autovibe-source-commit', sourceBaseCommit: 'autovibe-source-base-commit' } as const

/** Query of `POST /v1/projects/{id}/checkpoints`, whose body is a tar, also packed with gzip or zstd. */
export const ImportCheckpointQuery = z.object({
  contents: ArchiveQuery.shape.contents.describe('The files of the project; or everything, as a tar of `contents=all` has it'),
  label: z.string().min(1).max(200).optional(),
  commit: z
    .string()
    .regex(/^[0-9a-f]{40,64}$/)
    .optional()
    .describe('The commit that the files are from; noted when it is that of the imported source'),
})
export type ImportCheckpointQuery = z.output<typeof ImportCheckpointQuery>
