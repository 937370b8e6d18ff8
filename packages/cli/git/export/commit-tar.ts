/** The files of a commit as a tar, as the objects have them: no attribute, filter or line ending of the checkout has a say, as they have in git-archive(1). */
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { AutovibeError, tarEnd, tarHeader, tarPadding } from '@autovibe/contract'
import { git, gitFailure, gitText, tryGit } from '../command.ts'
import type { Repository } from '../repository.ts'
import type { Scratch } from '../scratch.ts'
import { LineReader } from './line-reader.ts'

const MODES: Readonly<Record<string, number>> = { '100644': 0o644, '100664': 0o664, '100755': 0o755 }
const LINK_BYTES_MAX = 4096

/** The commit that a branch or revision names; `not_found` when it names none. */
export async function commitOf({ root }: Repository, revision: string): Promise<string> {
  const found = await tryGit(['rev-parse', '--verify', '--quiet', '--end-of-options', `${revision}^{commit}`], { cwd: root })
  if (found.status === 0) return found.stdout.toString().trim()
  throw new AutovibeError('not_found', `The repository ${root} has no commit ${JSON.stringify(revision)}.`, {
    fix: `See what there is: git -C ${root} branch --all`,
  })
}

/** Folders and files with the time of the commit; a submodule is the empty folder that git makes of it. */
export async function* commitTar(repository: Repository, commit: string, scratch: Scratch, signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
  const cwd = repository.root
  const mtimeMs = Number(await gitText(['show', '--no-patch', '--format=%ct', commit], { cwd })) * 1000
  const listed = (await git(['ls-tree', '-r', '-t', '-z', '--full-tree', commit], { cwd, signal })).toString('latin1').split('\0').filter(Boolean)
  const entries = listed.map((line) => {
    const [, mode = '', type = '', id = '', name = ''] = /^(\d+) (\w+) ([0-9a-f]+)\t(.*)$/s.exec(line) ?? []
    return { mode, type, id, path: Buffer.from(name, 'latin1') }
  })
  const blobs = join(scratch.folder, 'blobs')
  const ids = entries.filter(({ type }) => type === 'blob').map(({ id }) => `${id}\n`)
  const read = await tryGit(['cat-file', '--batch'], { cwd, input: ids.join(''), outputFile: blobs, signal })
  if (read.status !== 0) throw gitFailure(['cat-file'], read.stderr)
  const contents = new LineReader(createReadStream(blobs))
  for (const { mode, type, id, path } of entries) {
    const entry = { path, mode: 0o755, mtimeMs, size: 0, target: null } as const
    if (type !== 'blob') {
      yield tarHeader({ ...entry, type: 'directory' })
      continue
    }
    const [name, kind, size] = (await contents.line()).split(' ')
    if (name !== id || kind !== 'blob' || !/^\d+$/.test(size ?? ''))
      throw new AutovibeError('project.source_invalid', `The repository lacks the content ${id} of ${JSON.stringify(path.toString())}.`, {
        fix: 'Fetch it: git fetch --refetch',
      })
    const bytes = Number(size)
    if (mode === '120000') {
      if (bytes > LINK_BYTES_MAX)
        throw new AutovibeError('project.source_invalid', `The link ${JSON.stringify(path.toString())} is longer than ${LINK_BYTES_MAX} bytes.`)
      yield tarHeader({ ...entry, type: 'symlink', mode: 0o777, target: await contents.exactly(bytes) })
    } else {
      yield tarHeader({ ...entry, type: 'file', mode: MODES[mode] ?? 0o644, size: bytes })
      yield* contents.pieces(bytes)
      yield tarPadding(bytes)
    }
    // cat-file ends each content with a new line.
    await contents.exactly(1)
  }
  yield tarEnd()
}
