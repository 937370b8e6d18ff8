/** Brings a machine's changes into a checkout or onto a branch. */
import { resolve } from 'node:path'
import type { ApplyOptions } from '../commands/apply.ts'
import type { Action } from '../commands/define.ts'
import type { AppliedFile } from '../git/apply.ts'
import { applyToCheckout } from '../git/apply.ts'
import { applyToBranch } from '../git/branch.ts'
import { openRepository, quote } from '../git/repository.ts'
import { plain, plural } from '../render/text.ts'
import { resolveCheckpoint } from '../resolve.ts'

export const apply: Action<ApplyOptions> = async (context, [ref], options) => {
  const { out, signal } = context
  const repository = await openRepository(resolve(context.cwd, options.project ?? '.'))
  const client = await context.connect()
  const { checkpoint, chosen } = await resolveCheckpoint(client, ref, { signal })
  if (chosen !== null) out.note(chosen)
  // Contents are fetched by their paths, so that a file under a new name is one that went and one that came.
  const { files: changed, ...head } = await client.checkpoints.diff(checkpoint.id, { detail: 'names', renames: false }, { signal })
  const diff = { ...head, files: await Array.fromAsync(changed) }
  const read = (id: string, path: string) => client.checkpoints.content(id, path, { signal })
  const flags = { allowOutsideLinks: options.allowOutsideLinks }
  const base = { checkpoint_id: checkpoint.id, machine: checkpoint.machine_name, project: repository.root }
  if (options.branch !== undefined) {
    const message = options.message ?? `Apply the changes of ${checkpoint.machine_name}`
    const applied = await applyToBranch(repository, diff, read, {
      ...flags,
      branch: options.branch,
      message: `${message}\n\nAutovibe-Checkpoint: ${checkpoint.id}\n`,
    })
    out.answer({ ...base, branch: applied.commit === applied.base ? null : options.branch, commit: applied.commit, base: applied.base, files: applied.files }, [
      ...applied.files.map((file) => fileLine(file)),
      applied.files.some(isWritten)
        ? `${out.paint.green('✓')} The branch ${options.branch} holds the changes in ${applied.commit.slice(0, 12)}; your work tree is as it was.`
        : 'There is nothing to apply.',
    ])
    if (applied.files.some(isWritten)) out.note(`Take it over with: git -C ${quote(repository.root)} merge ${options.branch}`)
    return 0
  }
  const files = await applyToCheckout(repository, diff, read, flags)
  const written = files.filter(isWritten)
  out.answer({ ...base, branch: null, commit: null, base: diff.source_base_commit, files }, [
    ...files.map((file) => fileLine(file)),
    files.length === 0
      ? 'There is nothing to apply.'
      : written.length === 0
        ? 'The checkout has all of it already.'
        : `${out.paint.green('✓')} ${plural(written.length, 'file')} in ${repository.root} changed; nothing is staged or committed.`,
  ])
  if (written.length > 0) out.note(`Read it with: git -C ${quote(repository.root)} diff`)
  return 0
}

const isWritten = ({ result }: AppliedFile): boolean => result !== 'already' && result !== 'ignored' && result !== 'left out'
const fileLine = (file: AppliedFile): string => `  ${file.result.padEnd(8)} ${plain(file.path)}`
