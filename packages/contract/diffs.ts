/** The difference of two checkpoints of a project: what is asked for, and the lines in which it is answered while it is made. */
import { z } from 'zod'
import { ManifestEntry } from './checkpoints.ts'
import { Problem } from './errors.ts'
import { CheckpointId } from './ids.ts'

/** `names`: what changed; `lines`: and by how many lines; `text`: and the patches of texts; `whole`: and of everything else, so that all of it can be applied. */
export const DIFF_DETAILS = ['names', 'lines', 'text', 'whole'] as const
export const DiffDetail = z.enum(DIFF_DETAILS)
export type DiffDetail = z.infer<typeof DiffDetail>

export const DiffQuery = z.object({
  against: CheckpointId.optional().describe('The checkpoint to start from; without it, the first of the line that holds the imported source'),
  detail: DiffDetail.default('whole').describe(
    'names: what changed; lines: and by how many lines; text: and the patches of texts; whole: and of everything else',
  ),
  renames: z.stringbool().default(true).describe('Whether a file that went and one like it that came are one that was renamed'),
})
export type DiffQuery = z.infer<typeof DiffQuery>

/** Why a file has no patch. */
export const NO_PATCH_REASONS = ['not_asked', 'ignored', 'binary', 'too_large', 'refused_by_git'] as const

/** One changed file between two checkpoints. */
export const FileChange = z.object({
  path: z.string().describe('Relative to the project folder'),
  status: z.enum(['added', 'changed', 'removed', 'renamed']),
  renamed_from: z.string().nullable().describe('The path that it had before, relative to the project folder'),
  similarity: z.int().min(0).max(100).nullable().describe('Of a renamed file: how much of the larger one both have, in percent'),
  /** A new file that the project's own .gitignore (as it was before) names: listed, without a patch, and not applied. */
  ignored: z.boolean(),
  before: ManifestEntry.nullable(),
  after: ManifestEntry.nullable(),
  binary: z.boolean().nullable().describe('Not UTF-8 text, or larger than 512 KiB; null where nobody has looked'),
  patch: z.string().nullable().describe("In git's own form; empty when only permissions changed that git does not know"),
  no_patch: z
    .enum(NO_PATCH_REASONS)
    .nullable()
    .describe('Why there is none: ignored by .gitignore, larger than 8 MiB, at a path that git refuses, or not asked for (binary, not_asked)'),
  added_lines: z.int(),
  removed_lines: z.int(),
})
export type FileChange = z.infer<typeof FileChange>

/** What two checkpoints are compared. */
export const DiffHead = z.object({
  checkpoint_id: CheckpointId,
  against_id: CheckpointId,
  /** The imported commit beneath, so that a checkout can apply the change three-way. */
  source_commit: z.string().nullable(),
  source_base_commit: z.string().nullable(),
})
export type DiffHead = z.infer<typeof DiffHead>

export const DiffTotals = z.object({
  files: z.int().describe('Without those that are ignored'),
  ignored: z.int(),
  added_lines: z.int(),
  removed_lines: z.int(),
  renames_limited: z.boolean().describe('There was too much to compare: some that were renamed may be shown as removed and added'),
})
export type DiffTotals = z.infer<typeof DiffTotals>

/** One line of the answer: the head, each file, and at its end the totals, or what went wrong. An answer without such an end broke off. */
export const DiffLine = z.discriminatedUnion('type', [
  DiffHead.extend({ type: z.literal('diff') }),
  FileChange.extend({ type: z.literal('file') }),
  DiffTotals.extend({ type: z.literal('end') }),
  z.object({ type: z.literal('problem'), problem: Problem }),
])
export type DiffLine = z.infer<typeof DiffLine>

/** All of it at once. */
export const CheckpointDiff = DiffHead.extend({ files: z.array(FileChange) })
export type CheckpointDiff = z.infer<typeof CheckpointDiff>
/** As `autovibe diff --json` writes it. */
export const DiffDocument = CheckpointDiff.extend({ totals: DiffTotals })
export type DiffDocument = z.infer<typeof DiffDocument>

/** What stands at the end of a patch that broke off. git refuses the whole of a patch with this in it, so that half of one is never applied. */
export const PATCH_BROKEN_OFF = '\n# The difference breaks off here; nothing of it may be applied.\n@@ -1 +1 @@\n'
