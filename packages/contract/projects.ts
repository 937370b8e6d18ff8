/** A project: the thing that is evolved. */
import { z } from 'zod'
import { Sha256, Time } from './common.ts'
import { Name, ProjectId } from './ids.ts'

/** What was imported last: one commit of a git repository, kept by the Hub as a git bundle. */
export const Source = z.object({
  sha256: Sha256,
  bytes: z.int(),
  /** The commit that the machine starts from; with uncommitted changes, a commit made for the import on top of HEAD. */
  commit: z.string().regex(/^[0-9a-f]{40,64}$/),
  /** The commit of the user's own repository beneath it. */
  base_commit: z.string().regex(/^[0-9a-f]{40,64}$/),
  branch: z.string().max(255).nullable(),
  dirty: z.boolean(),
  imported_at: Time,
})
export type Source = z.infer<typeof Source>

export const Project = z.object({
  id: ProjectId,
  name: Name,
  source: Source.nullable(),
  created_at: Time,
})
export type Project = z.infer<typeof Project>

export const CreateProject = z.object({ name: Name })
export type CreateProject = z.infer<typeof CreateProject>

/** Query of `PUT /v1/projects/{id}/source`, whose body is a git bundle with one ref, `refs/heads/autovibe-import`. */
export const ImportSourceQuery = z.object({
  commit: Source.shape.commit,
  base_commit: Source.shape.base_commit,
  branch: z.string().max(255).optional(),
  dirty: z.stringbool().default(false),
})
export type ImportSourceQuery = z.infer<typeof ImportSourceQuery>
export const SOURCE_REF = 'refs/heads/autovibe-import'
