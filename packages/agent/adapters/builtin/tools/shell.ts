/** shell: one command in the project folder. */

import { commandEnvironment, runCommand, SHELL } from '../../../process/command.ts'
import { oneLine } from '../../../run/text.ts'
import { numberOf, type Tool, textOf, wordOf } from './tool.ts'

export const SHELL_LIMITS = { defaultSeconds: 120, mostSeconds: 600, headBytes: 10_000, tailBytes: 20_000 } as const

export const shell: Tool = {
  definition: {
    name: 'shell',
    description: `Runs a command with ${SHELL} -c in the project folder and returns its output and exit code. There is no terminal and no input. The command ends after timeout_seconds (default ${SHELL_LIMITS.defaultSeconds}, at most ${SHELL_LIMITS.mostSeconds}); processes that it left in the background end with it. Of long output the first ${SHELL_LIMITS.headBytes} and the last ${SHELL_LIMITS.tailBytes} bytes are shown. The network reaches nothing but what this machine allows.`,
    input_schema: {
      type: 'object',
      properties: {
        command: { type: 'string', description: 'The command' },
        timeout_seconds: { type: 'integer', minimum: 1, maximum: SHELL_LIMITS.mostSeconds },
      },
      required: ['command'],
      additionalProperties: false,
    },
  },
  isReadOnly: false,
  summary: (input) => oneLine(wordOf(input, 'command')),
  run: async (input, context) => {
    const seconds = numberOf(input, 'timeout_seconds', { least: 1, most: SHELL_LIMITS.mostSeconds, otherwise: SHELL_LIMITS.defaultSeconds })
    const result = await runCommand({
      program: SHELL,
      args: ['-c', textOf(input, 'command')],
      cwd: context.paths.project,
      env: commandEnvironment(context.paths.home),
      timeoutMs: seconds * 1000,
      headBytes: SHELL_LIMITS.headBytes,
      tailBytes: SHELL_LIMITS.tailBytes,
      signal: context.signal,
    })
    const end = result.timedOut
      ? `[ended after ${seconds} s; give timeout_seconds for more]`
      : result.exitCode === null
        ? `[ended by ${result.signal ?? 'the system'}]`
        : result.exitCode === 0
          ? ''
          : `[exit code ${result.exitCode}]`
    const text = [result.output.trimEnd(), end].filter((part) => part !== '').join('\n')
    return { text: text === '' ? '[no output, exit code 0]' : text, isError: end !== '', changedFiles: true }
  },
}
