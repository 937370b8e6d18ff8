/** list_files: the files beneath a folder, nearest first. */
import { readdir, realpath } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { confine } from './confine.ts'
import { optionalTextOf, type Tool, wordOf } from './tool.ts'
import { explain } from './write-file.ts'

export const LIST_LIMITS = { entries: 1_000, folders: 5_000 } as const

/** Named, not entered. */
const CLOSED = new Set(['.git', 'node_modules'])

export const listFiles: Tool = {
  definition: {
    name: 'list_files',
    description: `Lists the files beneath a folder of the project (default all of it), folders with a slash at the end, nearest first, at most ${LIST_LIMITS.entries}. ${[...CLOSED].join(' and ')} are named but not entered.`,
    input_schema: { type: 'object', properties: { path: { type: 'string', description: 'Relative to the project folder' } }, additionalProperties: false },
  },
  isReadOnly: true,
  summary: (input) => wordOf(input, 'path') || '.',
  run: async (input, context) => {
    const asked = optionalTextOf(input, 'path') ?? '.'
    const start = await confine(context.paths.project, asked)
    const root = await realpath(context.paths.project)
    const lines: string[] = []
    const folders = [start]
    let isCut = false
    for (let i = 0; i < folders.length && !isCut; i++) {
      context.signal.throwIfAborted()
      const folder = folders[i] ?? start
      const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => (i === 0 ? explain(asked)(error) : []))
      for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
        if (lines.length === LIST_LIMITS.entries || folders.length === LIST_LIMITS.folders) {
          isCut = true
          break
        }
        const path = join(folder, entry.name)
        // A link is shown as a file and never entered, so that no loop can be walked.
        lines.push(relative(root, path) + (entry.isDirectory() ? '/' : ''))
        if (entry.isDirectory() && !CLOSED.has(entry.name)) folders.push(path)
      }
    }
    if (lines.length === 0) return { text: '[the folder is empty]' }
    return { text: isCut ? `${lines.join('\n')}\n[cut after ${lines.length} entries; name a folder to see more]` : lines.join('\n') }
  },
}
