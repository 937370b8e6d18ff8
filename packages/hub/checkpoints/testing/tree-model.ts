/** A plain model of a machine's tree, and edits that are made to it and, as a shell script, to the machine. */
import { createHash } from 'node:crypto'
import { encodePath } from '@autovibe/core/checkpoints/paths.ts'
import fc from 'fast-check'

/** A file's inode: names that are hard links share it. */
interface Inode {
  content: Buffer
  mode: number
  /** In which stretch between two checkpoints its names were linked; a file system of layers may part them at the next. */
  linkedIn: number
}

type Node = { readonly type: 'file'; inode: Inode } | { readonly type: 'directory'; mode: number } | { readonly type: 'symlink'; readonly target: string }

/** Paths and targets are bytes, one character each. */
export class TreeModel {
  readonly nodes = new Map<string, Node>()
  /** Grows when a checkpoint is taken or the machine begins anew from one. */
  stretch = 0

  /** As it comes from a checkpoint: which names are still one file, nobody promises. */
  copy(): TreeModel {
    const inodes = new Map<Inode, Inode>()
    const copied = new TreeModel()
    for (const [path, node] of this.nodes) {
      if (node.type !== 'file') {
        copied.nodes.set(path, { ...node })
        continue
      }
      const inode = inodes.get(node.inode) ?? { ...node.inode, linkedIn: -1 }
      inodes.set(node.inode, inode)
      copied.nodes.set(path, { type: 'file', inode })
    }
    copied.stretch = this.stretch + 1
    return copied
  }

  /** One line for each entry, in the form of the conformance suite. */
  account(): Map<string, string> {
    const lines = [...this.nodes].map(([path, node]): [string, string] => {
      if (node.type === 'symlink') return [spelled(path), `symlink ${spelled(node.target)}`]
      if (node.type === 'directory') return [spelled(path), `directory ${node.mode.toString(8)}`]
      return [spelled(path), `file ${node.inode.mode.toString(8)} ${createHash('sha256').update(node.inode.content).digest('hex')}`]
    })
    return new Map(lines)
  }
}

const spelled = (latin1: string): string => encodePath(Buffer.from(latin1, 'latin1'))

const EDITS = [
  'write',
  'append',
  'overwrite',
  'forge',
  'chmod',
  'rename',
  'link',
  'hardlink',
  'remove',
  'become folder',
  'become file',
  'sparse',
  'folder',
] as const

/** What is done, where (which of those that are there), and with which name and numbers; so that any edit can be made to any tree. */
export interface Edit {
  readonly kind: (typeof EDITS)[number]
  readonly at: number
  readonly to: number
  readonly name: number
  readonly size: number
  readonly seed: number
}

const SIZES = [0, 1, 100, 5000, 70_000, 1_048_576, 1_048_577, 2_500_000]
export const edits: fc.Arbitrary<Edit> = fc.record({
  // What is easily missed is done more often: bytes that change while size and time do not.
  kind: fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...EDITS) }, { weight: 1, arbitrary: fc.constantFrom('write' as const, 'forge' as const) }),
  at: fc.nat(1000),
  to: fc.nat(1000),
  name: fc.nat(1000),
  // Small ones are most of a tree.
  size: fc.oneof({ weight: 4, arbitrary: fc.nat(3) }, { weight: 1, arbitrary: fc.nat(SIZES.length - 1) }),
  seed: fc.nat(9),
})

const NAMES = ['a', 'b', 'a.b', 'c c', 'gr\u00c3\u00b6\u00c3\u009fe', '\u00ff\u00fe', 'back\\slash', 'new\nline', '-n', "quo'te", '.git', '*', 'x'.repeat(200)]
const FILE_MODES = [0o644, 0o755, 0o600, 0o400, 0o777, 0o444]
const FOLDER_MODES = [0o755, 0o700, 0o777, 0o1777, 0o711]
const TARGETS = ['a', '../home', '/etc/passwd', 'nowhere', '\u00fe\u00ff', '.', 'a/b/c']
const DEEPEST = 5
const ZERO = 0x30

/** Makes the edit to the model; what the machine does for the same, or null where there is nothing to do it to. */
export function edit(model: TreeModel, { kind, at, to, name, size, seed }: Edit): string | null {
  const { nodes } = model
  const some = (isFit: (path: string, node: Node) => boolean, nth: number): string | undefined => {
    const fit = [...nodes].filter(([path, node]) => isFit(path, node)).map(([path]) => path)
    return fit[nth % fit.length]
  }
  const isOwn = (path: string): boolean => path.includes('/')
  const file = some((path, node) => isOwn(path) && node.type === 'file' && (node.inode.mode & 0o200) !== 0, at)
  const folder = some((path, node) => node.type === 'directory' && path.split('/').length < DEEPEST, to)
  const fresh = folder === undefined ? undefined : `${folder}/${pick(NAMES, name)}`
  const isFree = fresh !== undefined && !nodes.has(fresh)
  const bytes = pick(SIZES, size)

  if (kind === 'write') {
    if (fresh === undefined) return null
    const there = nodes.get(fresh)
    if (there === undefined) return create(model, fresh, textOf(seed, bytes), `${says(seed, bytes)} >${sh(fresh)}`)
    if (there.type !== 'file' || (there.inode.mode & 0o200) === 0) return null
    return change(model, fresh, () => textOf(seed, bytes), `${says(seed, bytes)} >${sh(fresh)}`)
  }
  if (kind === 'append' && file !== undefined)
    return change(model, file, (old) => Buffer.concat([old, textOf(seed, bytes)]), `${says(seed, bytes)} >>${sh(file)}`)
  if ((kind === 'overwrite' || kind === 'forge') && file !== undefined) {
    const was = contentOf(model, file)
    const place = Math.max(0, (was.length >> 1) - 1)
    // Another one than stands there.
    const digit = `${was[place] === ZERO + seed ? (seed + 1) % 10 : seed}`
    const script = `printf %s ${digit} | dd of=${sh(file)} bs=1 seek=${place} conv=notrunc status=none`
    // Forged: no time tells that anything was written.
    const forged = `touch -r ${sh(file)} /tmp/time; ${script}; touch -r /tmp/time ${sh(file)}`
    return change(
      model,
      file,
      (old) => Buffer.concat([old.subarray(0, place), Buffer.from(digit), old.subarray(place + 1)]),
      kind === 'forge' ? forged : script,
    )
  }
  if (kind === 'chmod') {
    const any = some((path, node) => isOwn(path) && node.type !== 'symlink', at)
    const node = any === undefined ? undefined : nodes.get(any)
    if (any === undefined || node === undefined || node.type === 'symlink') return null
    const mode = pick(node.type === 'file' ? FILE_MODES : FOLDER_MODES, seed)
    const script = `chmod ${mode.toString(8)} ${sh(any)}`
    if (node.type === 'directory') {
      node.mode = mode
      return script
    }
    const parted = part(model, any)
    node.inode.mode = mode
    return `${parted}${script}`
  }
  if (kind === 'rename' || kind === 'remove' || kind === 'become folder' || kind === 'become file') {
    const any = some(
      (path, node) => isOwn(path) && (kind !== 'become folder' || node.type !== 'directory') && (kind !== 'become file' || node.type === 'directory'),
      at,
    )
    if (any === undefined) return null
    if (kind === 'rename') return rename(model, any, fresh)
    remove(model, any)
    if (kind === 'remove') return `rm -r -- ${sh(any)}`
    if (kind === 'become file') return create(model, any, textOf(seed, bytes), `rm -r -- ${sh(any)}; ${says(seed, bytes)} >${sh(any)}`)
    nodes.set(any, { type: 'directory', mode: 0o755 })
    return create(
      model,
      `${any}/${pick(NAMES, name)}`,
      textOf(seed, 10),
      `rm -- ${sh(any)}; mkdir -- ${sh(any)}; ${says(seed, 10)} >${sh(`${any}/${pick(NAMES, name)}`)}`,
    )
  }
  if (fresh === undefined || !isFree) return null
  if (kind === 'folder') {
    nodes.set(fresh, { type: 'directory', mode: 0o755 })
    return `mkdir -- ${sh(fresh)}`
  }
  if (kind === 'link') {
    nodes.set(fresh, { type: 'symlink', target: pick(TARGETS, seed) })
    return `ln -s -- ${sh(pick(TARGETS, seed))} ${sh(fresh)}`
  }
  if (kind === 'sparse') {
    const content = Buffer.concat([Buffer.alloc(bytes), Buffer.from('end')])
    return create(model, fresh, content, `truncate -s ${bytes} ${sh(fresh)}; printf end >>${sh(fresh)}`)
  }
  if (kind === 'hardlink' && file !== undefined) {
    const node = nodes.get(file)
    if (node?.type !== 'file') return null
    node.inode.linkedIn = namesOf(model, node.inode) === 1 || node.inode.linkedIn === model.stretch ? model.stretch : -1
    nodes.set(fresh, { type: 'file', inode: node.inode })
    return `ln -- ${sh(file)} ${sh(fresh)}`
  }
  return null
}

function create(model: TreeModel, path: string, content: Buffer, script: string): string {
  model.nodes.set(path, { type: 'file', inode: { content, mode: 0o644, linkedIn: model.stretch } })
  return script
}

function change(model: TreeModel, path: string, by: (old: Buffer) => Buffer, script: string): string {
  const parted = part(model, path)
  const node = model.nodes.get(path)
  if (node?.type === 'file') node.inode.content = by(node.inode.content)
  return `${parted}${script}`
}

/** Names that may or may not still be one file are parted for certain before one of them is changed. */
function part(model: TreeModel, path: string): string {
  const node = model.nodes.get(path)
  if (node?.type !== 'file' || namesOf(model, node.inode) === 1 || node.inode.linkedIn === model.stretch) return ''
  node.inode = { ...node.inode, linkedIn: -1 }
  return `cp -p -- ${sh(path)} /tmp/parted; rm -f -- ${sh(path)}; cp -p /tmp/parted ${sh(path)}; rm -f /tmp/parted; `
}

const namesOf = (model: TreeModel, inode: Inode): number => [...model.nodes.values()].filter((node) => node.type === 'file' && node.inode === inode).length

function rename(model: TreeModel, from: string, to: string | undefined): string | null {
  if (to === undefined || to === from || to.startsWith(`${from}/`)) return null
  const [source, target] = [model.nodes.get(from), model.nodes.get(to)]
  if (source === undefined || (target !== undefined && (source.type === 'directory' || target.type === 'directory'))) return null
  // One file under two names: rename(2) does nothing, mv(1) removes one of them.
  if (source.type === 'file' && target?.type === 'file' && source.inode === target.inode) return null
  for (const [path, node] of [...model.nodes]) {
    if (path !== from && !path.startsWith(`${from}/`)) continue
    model.nodes.delete(path)
    model.nodes.set(`${to}${path.slice(from.length)}`, node)
    // A folder that lies in an older layer cannot be renamed: mv(1) copies it, and parts what is within from what is not.
    if (node.type === 'file' && source.type === 'directory') node.inode.linkedIn = -1
  }
  return `mv -f -T -- ${sh(from)} ${sh(to)}`
}

function remove(model: TreeModel, path: string): void {
  for (const each of [...model.nodes.keys()]) if (each === path || each.startsWith(`${path}/`)) model.nodes.delete(each)
}

function contentOf(model: TreeModel, path: string): Buffer {
  const node = model.nodes.get(path)
  return node?.type === 'file' ? node.inode.content : Buffer.alloc(0)
}

/** What seq(1) writes from here on, and the command for it. */
function textOf(seed: number, bytes: number): Buffer {
  const lines: string[] = []
  for (let [number, length] = [seed * 1000, 0]; length < bytes; number++) {
    lines.push(`${number}\n`)
    length += lines.at(-1)?.length ?? 0
  }
  return Buffer.from(lines.join('')).subarray(0, bytes)
}
const says = (seed: number, bytes: number): string => `seq ${seed * 1000} 99999999 2>/dev/null | head -c ${bytes}`

/** The bytes for a shell, whatever they are; none of ours ends in a line break, which a shell would take away. */
const sh = (latin1: string): string =>
  /^[\w./]+$/.test(latin1) ? latin1 : `"$(printf '${[...latin1].map((c) => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`).join('')}')"`

function pick<T>(all: readonly T[], index: number): T {
  const one = all[index % all.length]
  if (one === undefined) throw new RangeError('nothing to pick from')
  return one
}
