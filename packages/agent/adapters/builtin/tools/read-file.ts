/** read_file: numbered lines of one text file. */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { confine } from './confine.ts'
import { numberOf, type Tool, ToolError, textOf, wordOf } from './tool.ts'

export const READ_LIMITS = { lines: 2_000, lineChars: 2_000, chars: 50_000, fileBytes: 64 * 1024 * 1024 } as const

export const readFile: Tool = {
  definition: {
    name: 'read_file',
    description: `Reads a text file of the project, with line numbers. offset is the first line (from 1), limit the number of lines (default and most ${READ_LIMITS.lines}). What is longer than ${READ_LIMITS.chars} characters is cut, and the answer says where to go on.`,
    input_schema: {
      type: 'object',
      properties: {
        path: { type: 'string', description: 'Relative to the project folder' },
        offset: { type: 'integer', minimum: 1 },
        limit: { type: 'integer', minimum: 1, maximum: READ_LIMITS.lines },
      },
      required: ['path'],
      additionalProperties: false,
    },
  },
  isReadOnly: true,
  summary: (input) => wordOf(input, 'path'),
  run: async (input, context) => {
    const path = textOf(input, 'path')
    const offset = numberOf(input, 'offset', { least: 1, most: Number.MAX_SAFE_INTEGER, otherwise: 1 })
    const limit = numberOf(input, 'limit', { least: 1, most: READ_LIMITS.lines, otherwise: READ_LIMITS.lines })
    const file = await confine(context.paths.project, path)
    await mustBeReadable(file, path)
    return { text: await readLines(file, offset, limit, context.signal) }
  },
}

/** Throws ToolError when the file is missing, no regular file, or larger than the tools read. */
export async function mustBeReadable(file: string, shown: string): Promise<void> {
  const found = await stat(file).catch((error: unknown) => {
    throw new ToolError(`${shown}: ${error instanceof Error && 'code' in error && error.code === 'ENOENT' ? 'there is no such file.' : String(error)}`)
  })
  if (found.isDirectory()) throw new ToolError(`${shown} is a folder; use list_files.`)
  // A pipe or a device would be read without end.
  if (!found.isFile()) throw new ToolError(`${shown} is not a regular file.`)
  if (found.size > READ_LIMITS.fileBytes)
    throw new ToolError(`${shown} has ${found.size} bytes, more than the ${READ_LIMITS.fileBytes} that are read; use search or shell.`)
}

async function readLines(file: string, offset: number, limit: number, signal: AbortSignal): Promise<string> {
  const stream = createReadStream(file, { encoding: 'utf8', signal })
  const reader = createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })
  const shown: string[] = []
  let chars = 0
  let number = 0
  let more = false
  try {
    for await (const line of reader) {
      number++
      if (number < offset) continue
      if (line.includes('\u0000')) throw new ToolError('The file is binary.')
      const text =
        line.length > READ_LIMITS.lineChars
          ? `${line.slice(0, READ_LIMITS.lineChars).toWellFormed()}[… ${line.length - READ_LIMITS.lineChars} characters left out]`
          : line
      const row = `${number}\t${text}`
      if (shown.length === limit || chars + row.length > READ_LIMITS.chars) {
        more = true
        break
      }
      shown.push(row)
      chars += row.length + 1
    }
  } finally {
    reader.close()
    stream.destroy()
  }
  if (shown.length === 0) return number === 0 ? '[the file is empty]' : `[the file has only ${number} lines]`
  return more ? `${shown.join('\n')}\n[cut; go on with offset ${offset + shown.length}]` : shown.join('\n')
}
