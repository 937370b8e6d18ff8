/** Random pairs of project folders for the tests of patches: any tree, and any edits of it that turn it into another. */
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import fc from 'fast-check'

/** As bytes, one character each. */
const NAMES = ['a', 'b', 'sp ace', 'q"uote', 'tab\t', 'new\nline', 'back\\slash', 'caf\u00c3\u00a9', 'br\u00ffoken', '-dash', 'x.txt']
const name = fc.constantFrom(...NAMES)
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('/'))
const line = fc.constantFrom('alpha\n', 'beta\n', 'gamma ray\n', '\n', 'delta\r\n', '\u00c3\u00a9\n', '--- a\n', '@@ -1 +1 @@\n', `${'long '.repeat(30)}\n`)
const text = fc.tuple(fc.array(line, { maxLength: 25 }), fc.constantFrom('', '', 'no end')).map(([lines, rest]) => lines.join('') + rest)
const binary = fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => `\0${Buffer.from(bytes).toString('latin1')}`)
const content = fc.oneof({ weight: 5, arbitrary: text }, { weight: 2, arbitrary: binary }, { weight: 1, arbitrary: fc.constant('') })

export type Edit =
  | { readonly does: 'write'; readonly path: string; readonly content: string; readonly executable: boolean }
  | { readonly does: 'append'; readonly which: number; readonly content: string }
  | { readonly does: 'chmod'; readonly which: number }
  | { readonly does: 'delete'; readonly which: number }
  | { readonly does: 'rename'; readonly which: number; readonly to: string; readonly append: string }
  | { readonly does: 'link'; readonly path: string; readonly target: string }

/**
 * None leads to itself, wherever it stands: at a path behind such a link git looks before it applies even its own patch, and gives up.
 * So none begins with one of NAMES, and what climbs out of its folder does not climb back.
 */
const targets = fc.constantFrom('to/a', '../b/c', 'to\nline/x', 'to br\u00ffoken')
const which = fc.nat(1000)
const edit: fc.Arbitrary<Edit> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ does: fc.constant('write' as const), path, content, executable: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ does: fc.constant('append' as const), which, content: text }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('chmod' as const), which }) },
  { weight: 3, arbitrary: fc.record({ does: fc.constant('delete' as const), which }) },
  { weight: 4, arbitrary: fc.record({ does: fc.constant('rename' as const), which, to: path, append: fc.constantFrom('', '', 'one more\n') }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('link' as const), path, target: targets }) },
)
export const edits = fc.array(edit, { minLength: 1, maxLength: 12 })

export type File = { readonly content: string; readonly executable: boolean } | { readonly target: string }
export type Tree = ReadonlyMap<string, File>

/** The tree after the edits; what stands in the way of a path, a file where a folder is needed or a folder where a file comes, goes. */
export function edited(tree: Tree, all: readonly Edit[]): Tree {
  const files = new Map(tree)
  for (const edit of all) make(files, edit)
  return files
}

function make(files: Map<string, File>, edit: Edit): void {
  if (edit.does === 'write') put(files, edit.path, { content: edit.content, executable: edit.executable })
  else if (edit.does === 'link') put(files, edit.path, { target: edit.target })
  else makeToOne(files, edit)
}

function makeToOne(files: Map<string, File>, edit: Exclude<Edit, { readonly path: string }>): void {
  const paths = [...files.keys()]
  const path = paths[edit.which % Math.max(1, paths.length)]
  const file = path === undefined ? undefined : files.get(path)
  if (path === undefined || file === undefined) return
  if (edit.does === 'delete') files.delete(path)
  else if (edit.does === 'rename') {
    files.delete(path)
    put(files, edit.to, 'target' in file ? file : { ...file, content: file.content + edit.append })
  } else if ('target' in file) return
  else if (edit.does === 'append') files.set(path, { ...file, content: file.content + edit.content })
  else files.set(path, { ...file, executable: !file.executable })
}

function put(files: Map<string, File>, path: string, file: File): void {
  for (const each of [...files.keys()]) if (each.startsWith(`${path}/`) || path.startsWith(`${each}/`)) files.delete(each)
  files.set(path, file)
}

export async function writeTree(root: string, tree: Tree): Promise<void> {
  for (const [path, file] of tree) {
    const parts = path.split('/').slice(0, -1)
    for (const index of parts.keys()) {
      await mkdir(at(root, parts.slice(0, index + 1).join('/'))).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error
      })
    }
    if ('target' in file) await symlink(Buffer.from(file.target, 'latin1'), at(root, path))
    else await writeFile(at(root, path), Buffer.from(file.content, 'latin1'), { mode: file.executable ? 0o755 : 0o644 })
  }
}

const at = (root: string, latin1: string): Buffer => Buffer.concat([Buffer.from(`${root}/`), Buffer.from(latin1, 'latin1')])
