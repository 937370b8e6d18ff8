/** Layers: folders of files that are written to by one machine and then never again, shared by whatever snapshots and machines name them. */
import { randomInt } from 'node:crypto'
import { chmodSync, mkdirSync } from 'node:fs'
import { chmod, readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { AutovibeError } from '@autovibe/contract'
import { deleteSubvolume, isSubvolume, replaceBySnapshot, replaceBySubvolume } from './btrfs.ts'
import { fileFailure, run, runOrThrow, toolFailure } from './command.ts'
import { listMachineIds, listSnapshotIds, readMachine, readSnapshot } from './documents.ts'
import { freshNamespace, type Host } from './host.ts'
import { type Layout, layerTree } from './layout.ts'
import { liveCopyCommand } from './live-copy.ts'
import { EMPTY_LAYER } from './overlay.ts'

/** A tree of this many files takes minutes on a slow disk. */
const COPY_TIMEOUT_MS = 30 * 60_000
const REMOVE_TIMEOUT_MS = 10 * 60_000
const NAME_ATTEMPTS = 20

/** Layers in use by work that no file tells of yet; the collector leaves them. In memory on purpose: what a crash leaves behind is garbage. */
export class Pins {
  readonly #counts = new Map<string, number>()
  readonly #late = new Set<string>()
  #collectors = 0

  has(layer: string): boolean {
    return this.#counts.has(layer) || this.#late.has(layer)
  }

  /** While `work` runs, a pin that ends still counts: the file that names its layer may have been written after `work` read the files. */
  async collecting<T>(work: () => Promise<T>): Promise<T> {
    this.#collectors += 1
    try {
      return await work()
    } finally {
      this.#collectors -= 1
      if (this.#collectors === 0) this.#late.clear()
    }
  }

  /** Pins until the returned function is called. */
  add(layers: readonly string[]): () => void {
    for (const layer of layers) this.#counts.set(layer, (this.#counts.get(layer) ?? 0) + 1)
    return () => {
      for (const layer of layers) {
        if (this.#collectors > 0) this.#late.add(layer)
        const left = (this.#counts.get(layer) ?? 1) - 1
        if (left > 0) this.#counts.set(layer, left)
        else this.#counts.delete(layer)
      }
    }
  }
}

/** Makes an empty layer, pinned, and hands it to `use`; the pin ends with it, by when a document must name the layer. */
export async function withNewLayer<T>(layout: Layout, pins: Pins, use: (layer: string) => Promise<T>): Promise<T> {
  for (let attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
    // Six characters: the names of a whole stack must fit into one page.
    const layer = randomInt(36 ** 5, 36 ** 6).toString(36)
    const unpin = pins.add([layer])
    try {
      if (!(await makeLayer(layout, layer))) continue
      return await use(layer)
    } finally {
      unpin()
    }
  }
  throw new AutovibeError('substrate.failed', 'No free name for a layer was found.', { retryable: true })
}

/** The bottom of every stack; false when the layer was there already. */
export async function makeLayer(layout: Layout, layer: string): Promise<boolean> {
  try {
    // At once: a machine may be standing still for it, and libuv's threads may be busy for some milliseconds.
    mkdirSync(join(layout.layers, layer), { mode: 0o700 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw fileFailure('Making a layer', error)
  }
  try {
    mkdirSync(layerTree(layout, layer))
    // The folder's mode is the one that the machine sees on its tree; the process's umask must not matter.
    chmodSync(layerTree(layout, layer), 0o755)
    mkdirSync(join(layout.layers, layer, 'work'), { mode: 0o700 })
  } catch (error) {
    throw fileFailure('Making a layer', error)
  }
  return true
}

/** Makes an empty layer into what trees of this host are copied from and to. */
export async function prepareTree(host: Host, layer: string): Promise<void> {
  if (host.offer.copy !== 'C4') return
  const tree = layerTree(host.layout, layer)
  await replaceBySubvolume(tree)
  await chmod(tree, 0o755)
}

/**
 * Copies a tree with everything that belongs to it into an empty layer: as one snapshot, or file by file, sharing blocks where the file system can. `live`: its machine
 * may be changing it meanwhile.
 */
export async function copyTree(host: Host, from: string, to: string, live: boolean, signal: AbortSignal | null): Promise<void> {
  if (host.offer.copy === 'C4' && (await isSubvolume(layerTree(host.layout, from))))
    return replaceBySnapshot(layerTree(host.layout, to), layerTree(host.layout, from))
  // A tree from before the data directory offered snapshots; its copies will be.
  await prepareTree(host, to)
  const [command, ...args] =
    (live ? liveCopyCommand(host, from, to) : null) ??
    withOwnersRights(needsOwnersRights(host), [
      'sh',
      ...['-c', COPY, 'sh', host.layout.trash, layerTree(host.layout, from), layerTree(host.layout, to)],
      // Never in silence: a plain copy of a large tree would be a surprise.
      `--reflink=${host.offer.copy === 'C2' ? 'always' : 'auto'}`,
    ])
  await runOrThrow(command, args, { timeoutMs: COPY_TIMEOUT_MS, what: 'Copying the machine’s tree', ...(signal === null ? {} : { signal }) })
}

/** By names of one letter: cp(1) puts them before every path of the tree, and the kernel takes 4095 bytes. */
const COPY = `
short=$(mktemp -d -p "$1") && ln -s "$2" "$short/a" && ln -s "$3" "$short/b" && cd "$short" && shift 3 && cp -a "$@" -T -- a/ b/
how=$?
cd / && rm -rf "$short"
exit $how`

/** Removes every layer that no machine and no snapshot names, each announced to `leaving` first. Interrupted anywhere, the next call goes on. */
export function collectLayers(host: Host, pins: Pins, leaving: (layer: string) => void): Promise<void> {
  return pins.collecting(() => collect(host, pins, leaving))
}

async function collect(host: Host, pins: Pins, leaving: (layer: string) => void): Promise<void> {
  const before = await readdir(host.layout.layers)
  const named = new Set([EMPTY_LAYER])
  for (const id of await listMachineIds(host.layout)) {
    const document = await readMachine(host.layout, id)
    for (const layer of document === null ? [] : [...document.layers, document.upper]) named.add(layer)
  }
  for (const id of await listSnapshotIds(host.layout)) for (const layer of (await readSnapshot(host.layout, id))?.layers ?? []) named.add(layer)
  for (const layer of before) {
    // A layer made meanwhile is not in `before`; one that is being named is pinned.
    if (named.has(layer) || pins.has(layer)) continue
    leaving(layer)
    await discard(host, join(host.layout.layers, layer))
  }
}

/** Takes a folder out of sight in one step and then removes it. A missing folder is no error. */
export async function discard(host: Host, folder: string): Promise<void> {
  const aside = join(host.layout.trash, randomInt(36 ** 8, 36 ** 9).toString(36))
  try {
    await rename(folder, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw fileFailure('Removing a folder', error)
  }
  await removeTree(aside, needsOwnersRights(host))
}

/** Removes what an earlier process had taken out of sight. */
export async function emptyTrash(host: Host): Promise<void> {
  for (const name of await readdir(host.layout.trash)) await removeTree(join(host.layout.trash, name), needsOwnersRights(host))
}

/** rm(1) goes down by open folders, so neither depth nor odd names stop it; locked folders are opened first for those who are not root. */
export async function removeTree(folder: string, ownersRights: boolean): Promise<void> {
  const subvolume = join(folder, 'fs')
  // rm would take it for another file system, unless it is named itself.
  if ((await isSubvolume(subvolume)) && !(await deleteSubvolume(subvolume))) await removeFiles(subvolume, ownersRights)
  await removeFiles(folder, ownersRights)
}

async function removeFiles(folder: string, ownersRights: boolean): Promise<void> {
  const [command, ...args] = withOwnersRights(ownersRights, ['rm', '-rf', '--one-file-system', '--', folder])
  const first = await run(command, args, { timeoutMs: REMOVE_TIMEOUT_MS })
  if (first.code === 0) return
  await run('find', [folder, '-type', 'd', '!', '-perm', '-700', '-exec', 'chmod', '700', '{}', ';'], { timeoutMs: REMOVE_TIMEOUT_MS })
  const second = await run('rm', ['-rf', '--one-file-system', '--', folder], { timeoutMs: REMOVE_TIMEOUT_MS })
  if (second.code !== 0) throw toolFailure('Removing a machine’s files', second.stderr)
}

/** An agent can take the owner's own rights from a file; root, or the owner in a user namespace, reads and removes it all the same. */
function withOwnersRights(needed: boolean, command: readonly [string, ...string[]]): readonly [string, ...string[]] {
  return needed ? [...freshNamespace(false), ...command] : command
}

const needsOwnersRights = (host: Host): boolean => !host.offer.asRoot && host.offer.userNamespaces
