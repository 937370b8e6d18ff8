/** The tree of this machine and its frozen copies on this disk: snapshots where the file system can, else copies that share what nobody has touched. */
import { existsSync } from 'node:fs'
import { mkdir, open, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { AutovibeError, type CheckpointId, GUEST_LIMITS, isId } from '@autovibe/contract'
import { z } from 'zod'
import { callFailure } from '../failures.ts'
import { runTool } from '../tools.ts'
import { canSnapshot, isSubvolume, makeSubvolume, removeFile, removeTree, takeAway, takeSnapshot } from './btrfs.ts'
import type { FrozenTree } from './compare.ts'
import type { Owner } from './copy-file.ts'
import type { Base } from './copy-tree.ts'
import { plantTree } from './plant.ts'
import { changesInThread, copyInThread, prepareThread } from './threads.ts'

const FrozenDocument = z.object({
  version: z.literal(1),
  kind: z.enum(['snapshot', 'copy']),
  consistency: z.enum(['consistent', 'fuzzy']),
  begun_ns: z.string().regex(/^\d+$/),
})
type FrozenDocument = z.infer<typeof FrozenDocument>

/** What the agent does while its tree is frozen. */
export interface Stillness {
  /** Its processes stand still until the answer is called, where they can. */
  pause(): Promise<() => Promise<void>>
  /** Whether one of them has a file of the tree open for writing. */
  isWriting(tree: string): boolean
  /** Whether any of them is there. */
  hasProcesses(): boolean
}

export interface TreesOptions {
  /** Of the state; on the disk that is cloned with the machine. */
  readonly folder: string
  readonly owner: Owner | null
  readonly agent: Stillness
  /** Copies even where there could be snapshots. */
  readonly onlyCopies?: boolean
  /** For whatever need not be waited for. */
  readonly warn: (message: string, error: unknown) => void
}

const SYNC_TIMEOUT_MS = 5 * 60_000

export class Trees {
  readonly #options: TreesOptions
  readonly #canSnapshot: boolean
  readonly #removals = new Set<Promise<void>>()
  readonly #readings = new Map<string, Set<Promise<void>>>()
  #asides = 0
  /** One thing at a time is done to trees. */
  #tail: Promise<unknown> = Promise.resolve()

  static async open(options: TreesOptions): Promise<Trees> {
    const { folder } = options
    prepareThread()
    await mkdir(join(folder, 'frozen'), { recursive: true, mode: 0o700 })
    await mkdir(join(folder, 'aside'), { recursive: true, mode: 0o700 })
    // What a guest that was ended has left half made, or half removed.
    for (const place of [folder, join(folder, 'aside'), join(folder, 'frozen')])
      for (const name of await readdir(place)) if (place.endsWith('/aside') || name.startsWith(GOING)) await removeTree(join(place, name))
    const trees = new Trees(options, options.onlyCopies !== true && (await canSnapshot(join(folder, 'aside'))))
    await trees.#removeUnnamed()
    return trees
  }

  private constructor(options: TreesOptions, snapshots: boolean) {
    this.#options = options
    this.#canSnapshot = snapshots
  }

  /** Where the agent works. */
  get tree(): string {
    return join(this.#options.folder, 'tree')
  }

  get kind(): FrozenDocument['kind'] {
    return this.#canSnapshot ? 'snapshot' : 'copy'
  }

  async hasTree(): Promise<boolean> {
    return (await readdir(this.#options.folder)).includes('tree')
  }

  async frozen(): Promise<CheckpointId[]> {
    return (await readdir(join(this.#options.folder, 'frozen')))
      .filter((name) => name.endsWith(DOCUMENT))
      .map((name) => name.slice(0, -DOCUMENT.length))
      .filter((id) => isId('checkpoint', id))
  }

  freeze(id: CheckpointId, signal: AbortSignal): Promise<FrozenDocument['consistency']> {
    return this.#alone('Freezing the machine’s tree', async () => {
      const made = await this.#document(id)
      if (made !== null) return made.consistency
      if (!(await this.hasTree())) throw new AutovibeError('substrate.failed', 'The machine has no tree to freeze.')
      if ((await this.frozen()).length >= GUEST_LIMITS.frozenTrees)
        throw new AutovibeError('substrate.failed', `The machine’s disk has ${GUEST_LIMITS.frozenTrees} frozen trees already.`)
      await this.#discard(this.#frozenTree(id))
      await removeFile(this.#records(id))
      const isSnapshot = this.#canSnapshot && (await isSubvolume(this.tree))
      const begunNs = nowNs()
      // A page that was written by way of memory gets no new time of change until it has been on the disk.
      if (!isSnapshot) await this.sync()
      const consistency = isSnapshot ? await this.#snapshot(id) : await this.#copy(id, signal)
      await this.sync()
      await this.#name(id, { version: 1, kind: isSnapshot ? 'snapshot' : 'copy', consistency, begun_ns: String(begunNs) })
      return consistency
    })
  }

  /** `substrate.snapshot_gone` where one of them is not there. */
  async *changes(id: CheckpointId, since: CheckpointId | null, signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
    const after = await this.#frozenOrGone(id)
    const before = since === null ? null : await this.#frozenOrGone(since)
    const { promise: read, resolve } = Promise.withResolvers<void>()
    const trees = before === null ? [after.tree] : [after.tree, before.tree]
    for (const tree of trees) this.#readings.set(tree, (this.#readings.get(tree) ?? new Set()).add(read))
    try {
      yield* changesInThread(after, before, signal)
    } finally {
      for (const tree of trees) this.#readings.get(tree)?.delete(read)
      resolve()
    }
  }

  thaw(id: CheckpointId): Promise<void> {
    return this.#alone('Thawing a frozen tree', async () => {
      await removeFile(this.#documentFile(id))
      await this.#discard(this.#frozenTree(id))
      await removeFile(this.#records(id))
    })
  }

  rollBack(id: CheckpointId, signal: AbortSignal): Promise<void> {
    return this.#alone('Rolling the machine’s tree back', async () => {
      this.#assertStopped()
      const { tree } = await this.#frozenOrGone(id)
      await this.#replace(async (made) => {
        if (this.#canSnapshot && (await isSubvolume(tree))) await takeSnapshot(tree, made, false)
        else await copyInThread({ from: tree, to: made, owner: this.#options.owner, base: null, records: null }, signal)
      })
    })
  }

  plant(tar: AsyncIterable<Uint8Array> | null): Promise<void> {
    return this.#alone('Planting the machine’s tree', async () => {
      this.#assertStopped()
      await this.#replace(async (made) => {
        if (this.#canSnapshot) await makeSubvolume(made)
        else await mkdir(made, { mode: 0o700 })
        await plantTree(made, tar, this.#options.owner, Date.now())
      })
    })
  }

  async sync(): Promise<void> {
    await runTool('sync', ['-f', '--', this.#options.folder], SYNC_TIMEOUT_MS)
  }

  /** Returns when nothing is under way any more, and nothing is being removed. */
  async settled(): Promise<void> {
    await this.#tail
    await Promise.all(this.#removals)
  }

  async #snapshot(id: CheckpointId): Promise<FrozenDocument['consistency']> {
    const isWriting = this.#options.agent.isWriting(this.tree)
    await takeSnapshot(this.tree, this.#frozenTree(id), true)
    return isWriting || this.#options.agent.isWriting(this.tree) ? 'fuzzy' : 'consistent'
  }

  async #copy(id: CheckpointId, signal: AbortSignal): Promise<FrozenDocument['consistency']> {
    const { agent, owner } = this.#options
    const base = await this.#newestCopy()
    const goOn = await agent.pause()
    try {
      const isWriting = agent.isWriting(this.tree)
      const isQuiet = await copyInThread({ from: this.tree, to: this.#frozenTree(id), owner, base, records: this.#records(id) }, signal)
      return isWriting || !isQuiet || agent.isWriting(this.tree) ? 'fuzzy' : 'consistent'
    } finally {
      await goOn()
    }
  }

  async #newestCopy(): Promise<Base | null> {
    let newest: Base | null = null
    for (const id of await this.frozen()) {
      const document = await this.#document(id)
      if (document?.kind !== 'copy' || BigInt(document.begun_ns) <= (newest?.begunNs ?? -1n) || !existsSync(this.#records(id))) continue
      newest = { tree: this.#frozenTree(id), records: this.#records(id), begunNs: BigInt(document.begun_ns) }
    }
    return newest
  }

  /** The tree is the one that `make` makes, or, if that fails, the one that it was. */
  async #replace(make: (made: string) => Promise<void>): Promise<void> {
    const made = this.#aside()
    try {
      await make(made)
      await this.sync()
      await this.#discard(this.tree)
      await rename(made, this.tree)
      await syncFolder(this.#options.folder)
    } catch (error) {
      await this.#discard(made)
      throw error
    }
  }

  #assertStopped(): void {
    if (this.#options.agent.hasProcesses()) throw new AutovibeError('substrate.failed', 'The machine’s agent runs, so its tree cannot be replaced.')
  }

  async #frozenOrGone(id: CheckpointId): Promise<FrozenTree> {
    const document = await this.#document(id)
    if (document === null) throw new AutovibeError('substrate.snapshot_gone', 'The machine’s disk has no frozen tree of this checkpoint.')
    return { tree: this.#frozenTree(id), begunNs: BigInt(document.begun_ns) }
  }

  async #document(id: CheckpointId): Promise<FrozenDocument | null> {
    try {
      return FrozenDocument.parse(JSON.parse(await readFile(this.#documentFile(id), 'utf8')))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw error
    }
  }

  /** Only what is named counts as frozen; the name is on the disk after all that it vouches for. */
  async #name(id: CheckpointId, document: FrozenDocument): Promise<void> {
    const made = this.#aside()
    await writeFile(made, JSON.stringify(document), { mode: 0o600, flush: true })
    await rename(made, this.#documentFile(id))
    await syncFolder(join(this.#options.folder, 'frozen'))
  }

  async #removeUnnamed(): Promise<void> {
    const named = new Set<string>(await this.frozen())
    for (const name of await readdir(join(this.#options.folder, 'frozen')))
      if (!named.has(name.split('.')[0] ?? '')) await removeTree(join(this.#options.folder, 'frozen', name))
  }

  /** Whoever reads it reads it to the end: names that vanished meanwhile would look like names that never were. */
  async #discard(path: string): Promise<void> {
    const aside = join(dirname(path), `${GOING}${process.pid}-${++this.#asides}`)
    if (!(await takeAway(path, aside))) return
    const readings = [...(this.#readings.get(path) ?? [])]
    this.#readings.delete(path)
    const removal = Promise.all(readings)
      .then(() => removeTree(aside))
      .catch((error: unknown) => this.#options.warn('a tree that is no longer needed could not be removed; the next start of the guest tries again', error))
      .finally(() => this.#removals.delete(removal))
    this.#removals.add(removal)
  }

  #alone<T>(what: string, work: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(work).catch((error: unknown) => {
      throw callFailure(what, error)
    })
    this.#tail = done.catch(() => undefined)
    return done
  }

  #aside(): string {
    this.#asides += 1
    return join(this.#options.folder, 'aside', `${process.pid}-${this.#asides}`)
  }

  #frozenTree(id: CheckpointId): string {
    return join(this.#options.folder, 'frozen', id)
  }
  #documentFile(id: CheckpointId): string {
    return `${this.#frozenTree(id)}${DOCUMENT}`
  }
  #records(id: CheckpointId): string {
    return `${this.#frozenTree(id)}.records`
  }
}

const DOCUMENT = '.json'
/** What is being removed. */
const GOING = 'gone-'

const nowNs = (): bigint => BigInt(Date.now()) * 1_000_000n

/** The names in it are on the disk. */
async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path)
  await folder.sync()
}
