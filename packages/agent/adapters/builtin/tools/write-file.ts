/** write_file: a whole file, made or replaced. */
import { mkdir, stat, writeFile as write } from 'node:fs/promises'
import { dirname } from 'node:path'
import { confine } from './confine.ts'
import { type Tool, ToolError, textOf, wordOf } from './tool.ts'

export const writeFile: Tool = {
  definition: {
    name: 'write_file',
    description: 'Writes a file of the project: makes it, with the folders above it, or replaces all of it. Use edit_file to change a part.',
    input_schema: {
      type: 'object',
      properties: { path: { type: 'string', description: 'Relative to the project folder' }, content: { type: 'string' } },
      required: ['path', 'content'],
      additionalProperties: false,
    },
  },
  isReadOnly: false,
  summary: (input) => wordOf(input, 'path'),
  run: async (input, context) => {
    const path = textOf(input, 'path')
    const content = textOf(input, 'content', { mayBeEmpty: true })
    const file = await confine(context.paths.project, path)
    const before = await stat(file).catch(() => undefined)
    if (before && !before.isFile()) throw new ToolError(`${path} is not a regular file.`)
    await mkdir(dirname(file), { recursive: true }).catch(explain(path))
    await write(file, content).catch(explain(path))
    return { text: `${before ? 'Replaced' : 'Made'} ${path} (${Buffer.byteLength(content)} bytes).`, changedFiles: true }
  },
}

/** File errors are the model's to hear of. */
export function explain(path: string): (error: unknown) => never {
  return (error) => {
    throw new ToolError(`${path}: ${error instanceof Error ? error.message : String(error)}`)
  }
}
