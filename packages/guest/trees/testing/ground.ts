/** Trees on a real disk for tests, without an agent: what works in them is the test itself. The accounts are made by other means than the code that is tested. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CheckpointId, GuestChange } from '@autovibe/contract'
import { encodePath } from '@autovibe/core/checkpoints/paths.ts'
import { encodeId } from '@autovibe/core/ids.ts'
import type { Owner } from '../copy-file.ts'
import { Trees } from '../trees.ts'

/** Memory, where the host has it: each freeze writes out the whole file system that it lies on. */
export const QUICK = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
export const never = new AbortController().signal
/** By path: kind, mode, time, content or target. */
export type Account = Map<string, string>

let made = 0
export const newCheckpoint = (): CheckpointId => encodeId('checkpoint', ++made, new Uint8Array(10))

export interface TestTrees {
  readonly folder: string
  readonly tree: string
  trees: Trees
  /** As after a crash: opened once more. */
  reopen(): Promise<void>
  shell(script: string): void
  close(): Promise<void>
}

export async function openTrees(options: { readonly parent?: string; readonly owner?: Owner; readonly onlyCopies?: boolean } = {}): Promise<TestTrees> {
  const folder = await mkdtemp(join(options.parent ?? tmpdir(), 'avtrees-'))
  const open = (): Promise<Trees> =>
    Trees.open({
      folder,
      owner: options.owner ?? null,
      onlyCopies: options.onlyCopies ?? false,
      agent: { pause: async () => async () => undefined, isWriting: () => false, hasProcesses: () => false },
      warn: (message, error) => {
        throw new Error(message, { cause: error })
      },
    })
  const ground: TestTrees = {
    folder,
    tree: join(folder, 'tree'),
    trees: await open(),
    async reopen() {
      ground.trees = await open()
    },
    shell(script) {
      const { status, stderr } = spawnSync('sh', ['-c', script], { cwd: ground.tree, encoding: 'utf8' })
      if (status !== 0) throw new Error(`${script} ended with ${status}: ${stderr}`)
    },
    async close() {
      await ground.trees.settled()
      spawnSync('sh', ['-c', 'for one in "$1"/tree "$1"/frozen/*; do btrfs subvolume delete "$one"; done 2>/dev/null', 'sh', folder])
      await rm(folder, { recursive: true, force: true })
    },
  }
  return ground
}

const RECENT_MS = 3_600_000

/** Of a time that a test has set; a copy of what was made just now may differ in the last digits, which Node cannot set. */
const timeOf = (mtimeMs: number): string => (Math.abs(Date.now() - mtimeMs) < RECENT_MS ? 'recent' : String(Math.round(mtimeMs)))

/** What lies in a folder now. */
export function accountOf(folder: string): Account {
  const account: Account = new Map()
  const waiting: Buffer[] = [Buffer.alloc(0)]
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    const here = at.length === 0 ? Buffer.from(folder) : Buffer.concat([Buffer.from(`${folder}/`), at])
    for (const name of readdirSync(here, { encoding: 'buffer' })) {
      const path = at.length === 0 ? name : Buffer.concat([at, Buffer.from('/'), name])
      const full = Buffer.concat([Buffer.from(`${folder}/`), path])
      const stat = lstatSync(full)
      const mode = (stat.mode & 0o7777).toString(8)
      if (stat.isDirectory()) {
        account.set(encodePath(path), `directory ${mode}`)
        waiting.push(path)
      } else if (stat.isSymbolicLink()) account.set(encodePath(path), `symlink ${encodePath(readlinkSync(full, { encoding: 'buffer' }))}`)
      else if (stat.isFile()) account.set(encodePath(path), `file ${mode} ${timeOf(stat.mtimeMs)} ${sha256(readFileSync(full))}`)
    }
  }
  return account
}

/** An earlier account with a stream of changes made to it; throws where parents do not come first, or nothing is there to be removed. */
export async function accountAfter(before: Account, changes: AsyncIterable<Uint8Array>): Promise<{ readonly account: Account; readonly told: string[] }> {
  const account = new Map(before)
  const told: string[] = []
  for (const { change, content } of await recordsOf(changes)) {
    if (change.kind === 'remove') {
      if (!account.has(change.path)) throw new Error(`removed what was not there: ${change.path}`)
      for (const path of [...account.keys()]) if (path === change.path || path.startsWith(`${change.path}/`)) account.delete(path)
      told.push(`-${change.path}`)
    } else if (change.kind === 'put') {
      const { path, type, mode, mtime_ms, link_target } = change
      const parent = path.slice(0, Math.max(path.lastIndexOf('/'), 0))
      if (parent !== '' && !account.get(parent)?.startsWith('directory')) throw new Error(`${path} came before its folder`)
      const rights = mode.toString(8)
      if (type === 'directory') account.set(path, `directory ${rights}`)
      else account.set(path, type === 'symlink' ? `symlink ${link_target}` : `file ${rights} ${timeOf(mtime_ms)} ${sha256(content)}`)
      told.push(path)
    } else if (change.kind === 'failed') throw new Error(JSON.stringify(change.problem))
  }
  return { account, told }
}

export async function recordsOf(changes: AsyncIterable<Uint8Array>): Promise<{ readonly change: GuestChange; readonly content: Buffer }[]> {
  const bytes = Buffer.concat(await Array.fromAsync(changes))
  const records: { change: GuestChange; content: Buffer }[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at)
    const change = GuestChange.parse(JSON.parse(bytes.subarray(at + 4, at + 4 + length).toString('utf8')))
    at += 4 + length
    const size = change.kind === 'put' && change.type === 'file' ? change.size : 0
    records.push({ change, content: bytes.subarray(at, at + size) })
    at += size
  }
  const last = records.at(-1)?.change
  if (last?.kind !== 'end' || last.changes !== records.length - 1) throw new Error('the stream has no right end')
  return records
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
