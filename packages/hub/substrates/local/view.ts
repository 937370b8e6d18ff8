/** Frozen trees to read from: overlay stacks are mounted read-only in a short-lived namespace of their own, plain copies are read where they lie. */
import { spawn } from 'node:child_process'
import { constants, createReadStream } from 'node:fs'
import { lstat, mkdir, readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough, type Readable } from 'node:stream'
import { AutovibeError } from '@autovibe/contract'
import { encodePath } from '@autovibe/core/checkpoints/paths.ts'
import { anyLength, reach } from '../../paths/long-path.ts'
import type { HeldFile } from '../substrate.ts'
import { fileFailure, runOrThrow, TOOL_ENV, toolFailure } from './command.ts'
import { freshNamespace, type Host, insideNamespaceOf } from './host.ts'
import { layerTree } from './layout.ts'
import { overlayOptions } from './overlay.ts'

export interface Entry {
  readonly name: Buffer
  readonly type: 'file' | 'directory' | 'symlink'
  readonly mode: number
  readonly size: number
  readonly mtimeMs: number
  readonly target: Buffer | null
}

export interface Tree {
  /** The names in a folder, sorted; none when there is no such folder. */
  names(folder: Buffer): Promise<Buffer[]>
  /** What these names of a folder are; sockets, pipes and devices are left out. */
  look(folder: Buffer, names: readonly Buffer[]): Promise<Entry[]>
  open(file: Buffer): Readable
  /** As long as it is held, the tree stays open. */
  hold(file: Buffer): HeldFile
  /** Where the Hub's own process reaches this entry. */
  path(entry: Buffer): Buffer
}

export interface Views {
  readonly trees: readonly Tree[]
  /** Waits for files that are being opened or held; those that are open can be read to their end. */
  close(): Promise<void>
}

const MOUNT_TIMEOUT_MS = 15_000
/** More names in one folder than this would have to be held in memory at once. */
const MAX_ENTRIES = 1_000_000
const LIST_BYTES = 512 * 1024 * 1024
/** Linux refuses longer paths in one call (PATH_MAX with its NUL). */
const MAX_PATH_BYTES = 4095
const LSTAT_AT_ONCE = 32
const SLASH = 0x2f

const HOLD = `
mount -n -t tmpfs -o mode=700,size=1m views "$1" && cd "$1" || exit 1
layers=$2; shift 2
n=0
base=$PWD; n=0
cd "$layers" || exit 1
for options; do mkdir "$base/$n" && mount -n -t overlay -o "$options" view "$base/$n" || exit 1; n=$((n+1)); done
echo ready; read -r _ || exit 0`

/** Opens the merged trees of these stacks (oldest layer first). Close them when everything was read. */
export async function openViews(host: Host, stacks: readonly (readonly string[])[]): Promise<Views> {
  if (!host.offer.overlay || (host.offer.copy !== 'C3' && stacks.every((stack) => stack.length === 1))) {
    const trees = stacks.map((stack) => {
      const base = Buffer.from(layerTree(host.layout, onlyLayer(stack)))
      return new DiskTree(base, host.offer.asRoot || !host.offer.userNamespaces ? null : { prefix: freshNamespace(false), base })
    })
    return { trees, close: async () => undefined }
  }
  const mountPoint = join(host.layout.root, 'views')
  await mkdir(mountPoint, { recursive: true, mode: 0o700 })
  const options = stacks.map((stack) => overlayOptions(stack, null, host.offer.asRoot))
  const [command, ...args] = [...freshNamespace(host.offer.asRoot), 'sh', '-c', HOLD, 'sh', mountPoint, host.layout.layers, ...options] as const
  // The namespace lasts until its standard input closes, and so never longer than the Hub.
  const holder = spawn(command, args, { cwd: '/', env: TOOL_ENV, stdio: ['pipe', 'pipe', 'pipe'] })
  await becomesReady(holder)
  const rescue = host.offer.asRoot ? null : insideNamespaceOf(holder.pid ?? 0, false)
  const trees = stacks.map(
    (_, index) =>
      new DiskTree(
        Buffer.from(`/proc/${holder.pid}/root${mountPoint}/${index}`),
        rescue === null ? null : { prefix: rescue, base: Buffer.from(join(mountPoint, String(index))) },
      ),
  )
  const close = async (): Promise<void> => {
    await Promise.all(trees.map((tree) => tree.settled()))
    holder.stdin.destroy()
  }
  return { trees, close }
}

/** The layer of a plain copy. */
export function onlyLayer(stack: readonly string[]): string {
  const [layer] = stack
  if (layer === undefined || stack.length > 1) {
    throw new AutovibeError('substrate.unavailable', 'The snapshot is made of overlay layers, which this host no longer offers.', {
      retryable: false,
      fix: 'Run autovibe doctor to see what is missing.',
    })
  }
  return layer
}

function becomesReady(holder: ReturnType<typeof spawn>): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let stderr = ''
  const timer = setTimeout(() => holder.kill('SIGKILL'), MOUNT_TIMEOUT_MS)
  holder.stdin?.on('error', () => undefined)
  holder.stderr?.on('data', (chunk: Buffer) => {
    if (stderr.length < 8192) stderr += chunk.toString('utf8')
  })
  holder.stdout?.once('data', () => {
    clearTimeout(timer)
    resolve()
  })
  holder.once('error', (error) => reject(new AutovibeError('substrate.unavailable', `The snapshot cannot be opened: ${error.message}.`, { cause: error })))
  holder.once('close', () => {
    clearTimeout(timer)
    reject(toolFailure('Opening the snapshot', stderr))
  })
  return promise
}

/** How the owner of a tree looks into what the agent has locked against it. */
interface Rescue {
  readonly prefix: readonly [string, ...string[]]
  readonly base: Buffer
}

class DiskTree implements Tree {
  readonly #base: Buffer
  readonly #rescue: Rescue | null
  readonly #opening = new Set<Promise<void>>()

  constructor(base: Buffer, rescue: Rescue | null) {
    this.#base = base
    this.#rescue = rescue
  }

  async names(folder: Buffer): Promise<Buffer[]> {
    try {
      const names = await reach(under(this.#base, folder), (path) => readdir(path, { encoding: 'buffer' }))
      if (names.length > MAX_ENTRIES) throw new AutovibeError('substrate.failed', `The folder “${encodePath(folder)}” holds more than ${MAX_ENTRIES} names.`)
      return names.sort(Buffer.compare)
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      if (code === 'ENOENT' || code === 'ENOTDIR') return []
      if (code === 'EACCES' && this.#rescue !== null) return (await listRescued(this.#rescue, folder)).map((entry) => entry.name)
      throw fileFailure(`Reading the folder “${encodePath(folder)}”`, error)
    }
  }

  async look(folder: Buffer, names: readonly Buffer[]): Promise<Entry[]> {
    try {
      return await reach(under(this.#base, folder), (base) => entriesIn(base, names))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EACCES' || this.#rescue === null) throw fileFailure(`Reading the folder “${encodePath(folder)}”`, error)
      const wanted = new Set(names.map((name) => name.toString('latin1')))
      return (await listRescued(this.#rescue, folder)).filter((entry) => wanted.has(entry.name.toString('latin1')))
    }
  }

  open(file: Buffer): Readable {
    const flags = (constants.O_RDONLY | constants.O_NOFOLLOW) as unknown as string
    const stream = createReadStream(under(this.#base, file), { flags, fs: anyLength })
    const { promise: opened, resolve } = Promise.withResolvers<void>()
    for (const event of ['open', 'close']) stream.once(event, resolve)
    this.#track(opened)
    const rescue = this.#rescue
    if (rescue === null) return stream
    const out = new PassThrough()
    stream.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EACCES') out.destroy(error)
      else this.#track(pipeRescued(rescue, file, out))
    })
    out.once('close', () => stream.destroy())
    return stream.pipe(out)
  }

  hold(file: Buffer): HeldFile {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#track(promise)
    return { path: under(this.#base, file), release: resolve }
  }

  /** Returns when nothing needs the folder's path any more. */
  async settled(): Promise<void> {
    while (this.#opening.size > 0) await Promise.all(this.#opening)
  }

  #track(work: Promise<void>): void {
    this.#opening.add(work)
    void work.then(() => this.#opening.delete(work))
  }

  path(entry: Buffer): Buffer {
    return under(this.#base, entry)
  }
}

/** As the namespace's root; find(1) tells everything about a folder's entries in one go. */
async function listRescued(rescue: Rescue, folder: Buffer): Promise<Entry[]> {
  const [command, ...prefix] = rescue.prefix
  const find = ['xargs', '-0', '-I{}', 'find', '{}', '-mindepth', '1', '-maxdepth', '1', '-printf', '%f\\0%y\\0%m\\0%s\\0%T@\\0%l\\0']
  const output = await runOrThrow(command, [...prefix, ...find], {
    timeoutMs: MOUNT_TIMEOUT_MS,
    what: 'Reading a locked folder',
    input: Buffer.concat([under(rescue.base, folder), Buffer.of(0)]),
    maxOutputBytes: LIST_BYTES,
  })
  const fields = splitAtNul(output)
  const entries: Entry[] = []
  for (let at = 0; at + 5 < fields.length; at += 6) {
    const [name, kind, mode, size, mtime, target] = fields.slice(at, at + 6) as [Buffer, Buffer, Buffer, Buffer, Buffer, Buffer]
    const type = ({ f: 'file', d: 'directory', l: 'symlink' } as const)[kind.toString()]
    if (type !== undefined)
      entries.push({
        name,
        type,
        mode: Number.parseInt(mode.toString(), 8),
        size: type === 'directory' ? 0 : Number(size.toString()),
        mtimeMs: Number(mtime.toString()) * 1000,
        target: type === 'symlink' ? target : null,
      })
  }
  return entries.sort((a, b) => Buffer.compare(a.name, b.name))
}

async function entriesIn(folder: Buffer, names: readonly Buffer[]): Promise<Entry[]> {
  const entries: Entry[] = []
  for (let at = 0; at < names.length; at += LSTAT_AT_ONCE) {
    const found = await Promise.all(names.slice(at, at + LSTAT_AT_ONCE).map((name) => reach(under(folder, name), (path) => entryAt(path, name))))
    for (const entry of found) if (entry !== null) entries.push(entry)
  }
  return entries
}

async function entryAt(path: Buffer, name: Buffer): Promise<Entry | null> {
  const stat = await lstat(path)
  const common = { name, mode: stat.mode & 0o7777, mtimeMs: stat.mtimeMs }
  if (stat.isFile()) return { ...common, type: 'file', size: stat.size, target: null }
  if (stat.isDirectory()) return { ...common, type: 'directory', size: 0, target: null }
  if (stat.isSymbolicLink()) return { ...common, type: 'symlink', size: stat.size, target: await readlink(path, { encoding: 'buffer' }) }
  return null
}

/** Resolves when the file is open: with its first bytes, or its end. */
function pipeRescued(rescue: Rescue, file: Buffer, out: PassThrough): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const [command, ...prefix] = rescue.prefix
  const child = spawn(command, [...prefix, 'xargs', '-0', 'cat', '--'], { cwd: '/', env: TOOL_ENV, stdio: ['pipe', 'pipe', 'ignore'] })
  child.stdin.on('error', () => undefined)
  child.stdin.end(Buffer.concat([under(rescue.base, file), Buffer.of(0)]))
  child.stdout.once('data', () => resolve())
  child.stdout.pipe(out, { end: false })
  out.once('close', () => child.kill('SIGKILL'))
  child.once('error', (error) => {
    resolve()
    out.destroy(error)
  })
  child.once('close', (code) => {
    resolve()
    if (code === 0) out.end()
    else out.destroy(new AutovibeError('substrate.failed', `The file “${encodePath(file)}” cannot be read.`))
  })
  return promise
}

/** Joins paths of bytes; an empty one is the base itself. Within a tree a path may be as long as the kernel takes, wherever the tree stands. */
export function under(base: Buffer, path: Buffer): Buffer {
  const joined = path.length === 0 ? base : base.length === 0 ? path : Buffer.concat([base, Buffer.from('/'), path])
  const within = base[0] === SLASH ? path : joined
  if (within.length > MAX_PATH_BYTES)
    throw new AutovibeError('substrate.failed', 'A path in the machine’s tree is longer than the kernel can open.', {
      internal: encodePath(path).slice(0, 500),
    })
  return joined
}

function splitAtNul(bytes: Buffer): Buffer[] {
  const parts: Buffer[] = []
  for (let from = 0; from < bytes.length; ) {
    const to = bytes.indexOf(0, from)
    if (to === -1) break
    parts.push(bytes.subarray(from, to))
    from = to + 1
  }
  return parts
}
