/** edit_file: one exact piece of text in a file, replaced. */
import { readFile, writeFile } from 'node:fs/promises'
import { confine } from './confine.ts'
import { mustBeReadable } from './read-file.ts'
import { type Tool, ToolError, textOf, wordOf } from './tool.ts'
import { explain } from './write-file.ts'

export const editFile: Tool = {
  definition: {
    name: 'edit_file',
    description:
      'Replaces old_text by new_text in a file of the project. old_text must stand in the file exactly once, with its white space; give enough lines around it to make it unique.',
    input_schema: {
      type: 'object',
      properties: { path: { type: 'string', description: 'Relative to the project folder' }, old_text: { type: 'string' }, new_text: { type: 'string' } },
      required: ['path', 'old_text', 'new_text'],
      additionalProperties: false,
    },
  },
  isReadOnly: false,
  summary: (input) => wordOf(input, 'path'),
  run: async (input, context) => {
    const path = textOf(input, 'path')
    const oldText = textOf(input, 'old_text')
    const newText = textOf(input, 'new_text', { mayBeEmpty: true })
    if (oldText === newText) throw new ToolError('old_text and new_text are the same.')
    const file = await confine(context.paths.project, path)
    await mustBeReadable(file, path)
    const bytes = await readFile(file).catch(explain(path))
    const before = bytes.toString('utf8')
    // Writing back what UTF-8 cannot hold would change bytes that nobody asked to change.
    if (!Buffer.from(before, 'utf8').equals(bytes)) throw new ToolError(`${path} is not UTF-8 text.`)
    const first = before.indexOf(oldText)
    if (first < 0) throw new ToolError(`old_text does not stand in ${path}. Read the file again: white space counts.`)
    if (before.indexOf(oldText, first + 1) >= 0) throw new ToolError(`old_text stands more than once in ${path}. Give more lines around it.`)
    await writeFile(file, before.slice(0, first) + newText + before.slice(first + oldText.length)).catch(explain(path))
    return { text: `Changed ${path} at line ${before.slice(0, first).split('\n').length}.`, changedFiles: true }
  },
}
