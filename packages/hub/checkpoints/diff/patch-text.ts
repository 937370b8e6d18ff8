/** A difference as one patch for `git apply`: what it cannot hold is named in lines that git passes over. */
import { type DiffTotals, type FileChange, PATCH_BROKEN_OFF } from '@autovibe/contract'
import { gitName } from './git-text.ts'

/** In pieces, one for each file. When the source fails behind the first, the last piece makes git refuse all of it; then the failure follows. */
export async function* patchText(files: AsyncGenerator<FileChange, DiffTotals>): AsyncGenerator<string, void> {
  let next = await files.next()
  try {
    for (; !next.done; next = await files.next()) {
      const text = textOf(next.value)
      if (text !== '') yield text
    }
    yield* closing(next.value)
  } catch (error) {
    yield PATCH_BROKEN_OFF
    throw error
  }
}

const REASONS: Readonly<Record<NonNullable<FileChange['no_patch']>, string>> = {
  ignored: 'ignored',
  not_asked: 'not asked for',
  binary: 'binary',
  too_large: 'too large to be shown',
  refused_by_git: 'a path that git refuses',
}

function textOf({ path, status, ignored, patch, no_patch }: FileChange): string {
  if (ignored) return ''
  if (patch !== null && patch !== '') return patch
  return `# ${status} ${gitName('', path)}: ${no_patch === null ? 'only permissions that git does not know' : REASONS[no_patch]}\n`
}

function* closing({ ignored, renames_limited }: DiffTotals): Generator<string, void> {
  if (ignored > 0) yield `# ${ignored} new ${ignored === 1 ? 'file' : 'files'} that .gitignore names left out\n`
  if (renames_limited) yield '# too many files came and went to find all that were renamed\n'
}
