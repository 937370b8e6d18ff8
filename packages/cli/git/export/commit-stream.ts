/** A tar of project files as the input of `git fast-import`: one commit that holds exactly these, each content passed on as it comes (git-fast-import(1)). */
import { AutovibeError, type ReadEntry, readTar } from '@autovibe/contract'
import { pathDanger } from '../paths.ts'

export interface CommitToMake {
  readonly ref: string
  readonly parent: string | null
  readonly message: string
  /** Author and committer, with the time in seconds. */
  readonly time: number
  /** Where the parent has other repositories (paths as latin1), and their commits. */
  readonly submodules: ReadonlyMap<string, string>
}

export interface Counted {
  files: number
  bytes: number
}

const AUTHOR = 'autovibe <autovibe@localhost>'
const EXECUTABLE = 0o100
const NEW_LINE = Buffer.from('\n')

/** Throws `export.refused`, naming the path, at the first that git would refuse; `counted` grows as the files go by. */
export async function* commitStream(tar: AsyncIterable<Uint8Array>, commit: CommitToMake, counted: Counted): AsyncGenerator<Uint8Array, void> {
  const who = `${AUTHOR} ${commit.time} +0000`
  yield Buffer.from(`commit ${commit.ref}\nauthor ${who}\ncommitter ${who}\n`)
  yield dataOf(Buffer.from(commit.message))
  yield Buffer.from(`${commit.parent === null ? '' : `from ${commit.parent}\n`}deleteall\n`)
  const kept = new Map<string, string>()
  for await (const entry of readTar(tar)) {
    const path = Buffer.from(entry.path)
    const problem = problemOf(entry, path)
    if (problem !== null) throw refused(path, problem)
    const name = path.toString('latin1')
    if (entry.type === 'directory') {
      // git leaves an empty folder where another repository belongs.
      const submodule = commit.submodules.get(name)
      if (submodule !== undefined) kept.set(name, submodule)
      continue
    }
    for (let slash = name.indexOf('/'); slash !== -1; slash = name.indexOf('/', slash + 1))
      if (kept.has(name.slice(0, slash)))
        throw refused(path, `${JSON.stringify(name.slice(0, slash))} is a submodule, whose files belong to its own repository`)
    counted.files++
    counted.bytes += entry.size
    if (entry.type === 'symlink') {
      yield Buffer.concat([modify('120000', path), dataOf(Buffer.from(entry.target ?? []))])
      continue
    }
    yield Buffer.concat([modify((entry.mode & EXECUTABLE) === 0 ? '100644' : '100755', path), Buffer.from(`data ${entry.size}\n`)])
    yield* entry.content
    yield NEW_LINE
  }
  for (const [name, id] of kept) yield Buffer.from(`M 160000 ${id} ${quoted(Buffer.from(name, 'latin1'))}\n`)
  yield Buffer.from('done\n')
}

function problemOf(entry: ReadEntry, path: Buffer): string | null {
  if (entry.type === 'special' || entry.type === 'link') return 'it is neither file, folder nor symbolic link'
  const danger = pathDanger(path)
  if (danger !== undefined) return danger
  return entry.type === 'symlink' && isGitModules(path) ? 'git refuses a link in place of .gitmodules' : null
}

/** `.gitmodules` at the top, in the spellings that some file system takes for it (git, path.c: is_ntfs_dotgitmodules). */
const isGitModules = (path: Buffer): boolean =>
  /^(?:\.gitmodules|gitmod~[1-4]|gi7eb[0-9a-f~]*)[ .]*(?::.*)?$/is.test(path.toString('utf8').replace(/[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/gu, ''))

const modify = (mode: string, path: Buffer): Buffer => Buffer.from(`M ${mode} inline ${quoted(path)}\n`)

const dataOf = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from(`data ${bytes.length}\n`), bytes, NEW_LINE])

/** As C writes a string; every byte that is no plain character in octal. */
function quoted(path: Buffer): string {
  let text = ''
  for (const byte of path)
    text += byte < 0x20 || byte >= 0x7f || byte === 0x22 || byte === 0x5c ? `\\${byte.toString(8).padStart(3, '0')}` : String.fromCharCode(byte)
  return `"${text}"`
}

export const refused = (path: Buffer | string, why: string): AutovibeError =>
  new AutovibeError('export.refused', `${JSON.stringify(path.toString().slice(0, 300))} cannot be in a commit: ${why}. Nothing was changed.`, {
    fix: 'Take everything out as a tar instead: autovibe checkpoint export CHECKPOINT --tar FILE',
  })
