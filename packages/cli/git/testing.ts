/** Real repositories and diffs for the tests of this folder. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { CheckpointDiff, FileChange, ManifestEntry } from '@autovibe/contract'

/** A file's text or bytes, with an executable bit, or a link. */
export type Content = string | Buffer | { readonly text: string; readonly executable: true } | { readonly link: string }
export type Files = Readonly<Record<string, Content>>

export interface TestRepository extends Disposable {
  readonly path: string
  git(...args: string[]): string
  write(files: Files): void
  commit(files: Files): string
  remove(path: string): void
  read(path: string): string
  /** Everything in .git and its content, to prove that nothing was written. */
  gitFolderState(): string
  /** Everything in the work tree with modes and contents. */
  workTreeState(): string
}

const identity = { GIT_AUTHOR_NAME: 't', GIT_AUTHOR_EMAIL: 't@localhost', GIT_COMMITTER_NAME: 't', GIT_COMMITTER_EMAIL: 't@localhost' }

export function makeRepository(files: Files = { 'a.txt': 'one\ntwo\nthree\n' }, options: { readonly empty?: boolean } = {}): TestRepository {
  const folder = mkdtempSync(join(tmpdir(), 'autovibe-test-'))
  const path = join(folder, 'repo with blank')
  mkdirSync(path)
  const git = (...args: string[]) =>
    execFileSync('git', args, {
      cwd: path,
      env: { ...process.env, ...identity, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
      .toString()
      .trim()
  const write = (wanted: Files) => {
    for (const [name, content] of Object.entries(wanted)) {
      const target = join(path, name)
      mkdirSync(dirname(target), { recursive: true })
      rmSync(target, { force: true, recursive: true })
      if (typeof content === 'object' && 'link' in content) symlinkSync(content.link, target)
      else {
        writeFileSync(target, bytesOf(content))
        chmodSync(target, isExecutable(content) ? 0o755 : 0o644)
      }
    }
  }
  const commit = (wanted: Files) => {
    write(wanted)
    git('add', '--all')
    git('commit', '--quiet', '--allow-empty', '--message', 'test')
    return git('rev-parse', 'HEAD')
  }
  git('-c', 'init.defaultBranch=main', 'init', '--quiet')
  if (options.empty !== true) commit(files)
  return {
    path,
    git,
    write,
    commit,
    remove: (name) => rmSync(join(path, name), { recursive: true, force: true }),
    read: (name) => readFileSync(join(path, name), 'utf8'),
    gitFolderState: () => stateOf(join(path, '.git')),
    workTreeState: () => stateOf(path, '.git'),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  }
}

function stateOf(root: string, except?: string): string {
  const lines: string[] = []
  const walk = (folder: string) => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const name = join(folder, entry.name)
      if (name === except) continue
      const full = join(root, name)
      const { mode } = lstatSync(full)
      if (entry.isDirectory()) walk(name)
      lines.push(`${name} ${mode.toString(8)} ${entry.isSymbolicLink() ? readlinkSync(full) : entry.isFile() ? sha256(readFileSync(full)) : ''}`)
    }
  }
  walk('')
  return lines.sort().join('\n')
}

/** What a Hub would answer for a machine that turned `before` into `after`, with the contents behind it. */
export function makeDiff(
  base: string,
  before: Files,
  after: Files,
): { diff: CheckpointDiff; read: (checkpoint: string, path: string) => Promise<AsyncIterable<Uint8Array>> } {
  const paths = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort()
  const files: FileChange[] = []
  for (const path of paths) {
    const [old, young] = [entryOf(path, before[path]), entryOf(path, after[path])]
    if (JSON.stringify(old) === JSON.stringify(young)) continue
    files.push({
      ignored: false,
      path,
      renamed_from: null,
      similarity: null,
      status: old === null ? 'added' : young === null ? 'removed' : 'changed',
      before: old,
      after: young,
      binary: null,
      patch: null,
      no_patch: 'not_asked',
      added_lines: 0,
      removed_lines: 0,
    })
  }
  const diff = { checkpoint_id: AFTER, against_id: BEFORE, source_commit: base, source_base_commit: base, files }
  return {
    diff,
    read: async (checkpoint, path) => {
      const content = (checkpoint === BEFORE ? before : after)[path.replace(/^project\//, '')]
      if (content === undefined) throw new Error(`nobody should ask for ${path} of ${checkpoint}`)
      return stream(bytesOf(content))
    },
  }
}

export const BEFORE = 'ckp_00000000000000000000000001' as const
export const AFTER = 'ckp_00000000000000000000000002' as const

export async function* stream(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 7) yield bytes.subarray(at, at + 7)
}

export function entryOf(path: string, content: Content | undefined): ManifestEntry | null {
  if (content === undefined) return null
  const bytes = bytesOf(content)
  const common = { path: `project/${path}`, mtime_ms: 0, size: bytes.length }
  if (typeof content === 'object' && 'link' in content) return { ...common, type: 'symlink', mode: 0o777, sha256: null, link_target: content.link }
  return { ...common, type: 'file', mode: isExecutable(content) ? 0o755 : 0o644, sha256: sha256(bytes), link_target: null }
}

const isExecutable = (content: Content): boolean => typeof content === 'object' && 'executable' in content
export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

function bytesOf(content: Content): Buffer {
  if (Buffer.isBuffer(content)) return content
  if (typeof content === 'string') return Buffer.from(content)
  return Buffer.from('link' in content ? content.link : content.text)
}
