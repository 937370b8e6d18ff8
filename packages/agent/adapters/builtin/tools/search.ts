/** search: lines that match a regular expression, found by grep, so that no pattern can stop the agent itself. */

import { realpath } from 'node:fs/promises'
import { relative } from 'node:path'
import { commandEnvironment, runCommand } from '../../../process/command.ts'
import { oneLine } from '../../../run/text.ts'
import { confine } from './confine.ts'
import { optionalTextOf, type Tool, ToolError, textOf, wordOf } from './tool.ts'

export const SEARCH_LIMITS = { timeoutMs: 30_000, bytes: 512 * 1024, lines: 200, lineChars: 300 } as const

/** What is never meant: history and installed packages. */
const SKIPPED = ['.git', 'node_modules']

export const search: Tool = {
  definition: {
    name: 'search',
    description: `Finds lines in the project's text files by a POSIX extended regular expression (grep -E). path narrows it to a folder or file, glob to file names such as *.ts. ${SKIPPED.join(' and ')} are left out. At most ${SEARCH_LIMITS.lines} lines are shown.`,
    input_schema: {
      type: 'object',
      properties: {
        pattern: { type: 'string' },
        path: { type: 'string', description: 'Relative to the project folder; default all of it' },
        glob: { type: 'string', description: 'File name pattern, without folders' },
      },
      required: ['pattern'],
      additionalProperties: false,
    },
  },
  isReadOnly: true,
  summary: (input) => oneLine([wordOf(input, 'pattern'), wordOf(input, 'path'), wordOf(input, 'glob')].filter((part) => part !== '').join(' ')),
  run: async (input, context) => {
    const pattern = textOf(input, 'pattern')
    if (/[\n\0]/.test(pattern)) throw new ToolError('The pattern must be one line.')
    const glob = optionalTextOf(input, 'glob')
    const root = await realpath(context.paths.project)
    const where = relative(root, await confine(context.paths.project, optionalTextOf(input, 'path') ?? '.')) || '.'
    const result = await runCommand({
      program: 'grep',
      args: ['-rnIE', ...SKIPPED.map((name) => `--exclude-dir=${name}`), ...(glob === undefined ? [] : [`--include=${glob}`]), '-e', pattern, '--', where],
      cwd: root,
      env: { ...commandEnvironment(context.paths.home), LC_ALL: 'C.UTF-8' },
      timeoutMs: SEARCH_LIMITS.timeoutMs,
      headBytes: SEARCH_LIMITS.bytes,
      tailBytes: 0,
      signal: context.signal,
    })
    if (result.timedOut) throw new ToolError(`The search took longer than ${SEARCH_LIMITS.timeoutMs / 1000} s; narrow it with path or glob.`)
    if (result.exitCode === 1 && result.output === '') return { text: '[nothing found]' }
    // grep says 2 when a file could not be read, although it found others.
    if (result.exitCode !== 0 && result.exitCode !== 1 && !/^[^:\n]+:\d+:/m.test(result.output))
      throw new ToolError(`The search failed: ${oneLine(result.output, 500)}`)
    return { text: shorten(result.output, result.cutBytes > 0) }
  },
}

function shorten(output: string, wasCut: boolean): string {
  const lines = output.trimEnd().split('\n')
  const shown = lines.slice(0, SEARCH_LIMITS.lines).map((line) => {
    const text = line.replace(/^\.\//, '')
    return text.length > SEARCH_LIMITS.lineChars ? `${text.slice(0, SEARCH_LIMITS.lineChars).toWellFormed()}…` : text
  })
  const left = lines.length - shown.length
  if (left > 0 || wasCut) shown.push(`[cut; ${wasCut ? 'many' : left} more lines match. Narrow the search.]`)
  return shown.join('\n')
}
