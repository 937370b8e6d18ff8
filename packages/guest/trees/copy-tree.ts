/** Copies a tree by handles, with everything in it; what an earlier frozen tree has unchanged is linked to instead. Blocks: it runs in a thread of its own. */
import { type BigIntStats, closeSync, fstatSync, lchownSync, linkSync, lutimesSync, mkdirSync, readlinkSync, symlinkSync } from 'node:fs'
import { AutovibeError } from '@autovibe/contract'
import { copyFile, finish, type Owner } from './copy-file.ts'
import { below, closeQuietly, gone, lookAt, namesIn, openBelow, openFolder, openFolderWithin, within } from './descend.ts'
import { identityOf, RecordReader, RecordWriter } from './records.ts'
import { microsecondsOf, timeText } from './times.ts'

/** An earlier frozen tree of the same living one. */
export interface Base {
  readonly tree: string
  readonly records: string
  /** When its freeze began, in ns since 1970. */
  readonly begunNs: bigint
}

export interface CopyTree {
  readonly from: string
  /** Made by the copy. */
  readonly to: string
  readonly owner: Owner | null
  readonly base: Base | null
  /** Where the records of this copy go; null: nobody will build on it. */
  readonly records: string | null
}

/** Beyond what any checkpoint holds. */
const MAX_ENTRIES = 2_000_000
/** The kernel's clock for files may stand still for 10 ms, on old file systems for two seconds; what was changed so shortly before may change again without a new time. */
const GRANULARITY_NS = 2_000_000_000n
/** What is another thing at each look is left out. */
const ATTEMPTS = 3

interface Level {
  readonly path: Buffer
  readonly from: number
  readonly to: number
  /** Null where the earlier tree has no such folder. */
  readonly base: number | null
  readonly names: Buffer[]
  readonly stat: BigIntStats
  next: number
}

/** Whether nothing was seen to change meanwhile. */
export function copyTree({ from, to, owner, base, records }: CopyTree): boolean {
  return new Copy(owner, base, records).run(from, to)
}

class Copy {
  readonly #owner: Owner | null
  readonly #base: Base | null
  readonly #known: RecordReader | null
  readonly #records: RecordWriter | null
  /** First name in the copy of each file that has several. */
  readonly #linked = new Map<bigint, { readonly folder: Buffer; readonly name: Buffer; readonly identity: string }>()
  readonly #levels: Level[] = []
  #device = 0n
  #entries = 0
  #isQuiet = true

  constructor(owner: Owner | null, base: Base | null, records: string | null) {
    this.#owner = owner
    this.#base = base
    this.#known = base === null ? null : new RecordReader(base.records)
    this.#records = records === null ? null : new RecordWriter(records)
  }

  run(from: string, to: string): boolean {
    try {
      mkdirSync(to, { mode: 0o700 })
      const source = openFolder(from)
      this.#device = fstatSync(source, { bigint: true }).dev
      this.#enter(Buffer.alloc(0), source, openFolder(to), this.#base === null ? null : openFolder(this.#base.tree))
      for (let level = this.#levels.at(-1); level !== undefined; level = this.#levels.at(-1)) {
        const name = level.names[level.next++]
        if (name === undefined) this.#leave(level)
        else this.#entry(level, name)
      }
      return this.#isQuiet
    } finally {
      for (const level of this.#levels) this.#close(level)
      this.#known?.close()
      this.#records?.close()
    }
  }

  #enter(path: Buffer, from: number, to: number, base: number | null): void {
    const stat = fstatSync(from, { bigint: true })
    this.#levels.push({ path, from, to, base, names: namesIn(from), stat, next: 0 })
  }

  /** Mode and time come last: what is made within changes the one and may need the other. */
  #leave(level: Level): void {
    const now = fstatSync(level.from, { bigint: true })
    if (now.ctimeNs !== level.stat.ctimeNs) this.#isQuiet = false
    finish(level.to, this.#owner, Number(now.mode & 0o7777n), microsecondsOf(now.mtimeNs))
    this.#levels.pop()
    this.#close(level)
  }

  #close(level: Level): void {
    closeSync(level.from)
    closeSync(level.to)
    closeQuietly(level.base)
  }

  #entry(level: Level, name: Buffer): void {
    if (++this.#entries > MAX_ENTRIES) throw new AutovibeError('substrate.failed', `The machine’s tree has more than ${MAX_ENTRIES} entries.`)
    const path = below(level.path, name)
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const stat = lookAt(level.from, name)
      if (stat === null) break
      if (this.#copied(level, name, path, stat)) return
    }
    this.#isQuiet = false
  }

  /** False when it is no longer what the look has found. */
  #copied(level: Level, name: Buffer, path: Buffer, stat: BigIntStats): boolean {
    if (stat.isDirectory()) return this.#folder(level, name, path, stat)
    if (stat.isSymbolicLink()) return this.#symlink(level, name, stat)
    if (stat.isFile()) return this.#file(level, name, path, stat)
    // Pipes, sockets and devices are nothing that a checkpoint holds.
    return true
  }

  #folder(level: Level, name: Buffer, path: Buffer, stat: BigIntStats): boolean {
    const target = within(level.to, name)
    if (stat.dev !== this.#device) {
      // Another file system, or a subvolume of its own, which no snapshot holds either.
      mkdirSync(target, { mode: 0o700 })
      return true
    }
    const from = gone(() => openFolderWithin(level.from, name))
    if (from === null) return false
    mkdirSync(target, { mode: 0o700 })
    const { base } = level
    this.#enter(path, from, openFolderWithin(level.to, name), base === null ? null : gone(() => openFolderWithin(base, name)))
    return true
  }

  #symlink(level: Level, name: Buffer, stat: BigIntStats): boolean {
    const leadsTo = gone(() => readlinkSync(within(level.from, name), { encoding: 'buffer' }))
    if (leadsTo === null) return false
    const target = within(level.to, name)
    symlinkSync(leadsTo, target)
    if (this.#owner !== null) lchownSync(target, this.#owner.uid, this.#owner.gid)
    const time = timeText(microsecondsOf(stat.mtimeNs))
    lutimesSync(target, time, time)
    return true
  }

  #file(level: Level, name: Buffer, path: Buffer, stat: BigIntStats): boolean {
    const identity = identityOf(stat)
    const target = within(level.to, name)
    if (this.#isUntouched(path, identity) && level.base !== null && linkedTo(within(level.base, name), target)) {
      this.#records?.add(path, identity)
      return true
    }
    if (stat.nlink > 1n && this.#isSameAsBefore(stat.ino, identity, target)) {
      this.#records?.add(path, identity)
      return true
    }
    const copied = copyFile(within(level.from, name), target, this.#owner)
    if (copied === null) return false
    if (copied.identity === null) this.#isQuiet = false
    else {
      this.#records?.add(path, copied.identity)
      if (stat.nlink > 1n) this.#linked.set(stat.ino, { folder: level.path, name, identity: copied.identity })
    }
    return true
  }

  #isUntouched(path: Buffer, identity: string): boolean {
    const record = this.#known?.find(path) ?? null
    if (record === null || this.#base === null || record.identity !== identity) return false
    return record.changedNs < this.#base.begunNs - GRANULARITY_NS
  }

  /** A further name of a file that was copied already. */
  #isSameAsBefore(ino: bigint, identity: string, target: Buffer): boolean {
    const first = this.#linked.get(ino)
    const top = this.#levels[0]
    if (first === undefined || first.identity !== identity || top === undefined) return false
    const folder = openBelow(top.to, first.folder)
    try {
      return linkedTo(within(folder, first.name), target)
    } finally {
      closeSync(folder)
    }
  }
}

/** False where the file has as many names as the file system allows. */
function linkedTo(file: Buffer, name: Buffer): boolean {
  try {
    linkSync(file, name)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EMLINK') return false
    throw error
  }
}
