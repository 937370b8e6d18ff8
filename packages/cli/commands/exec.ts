/** autovibe exec: a command or a shell inside a machine. */
import { act, define } from './define.ts'

export interface ExecCommandOptions {
  readonly tty?: boolean
  readonly interactive?: boolean
  readonly cwd?: string
  readonly env?: readonly string[]
}

const DETAILS = `Put -- before the command: autovibe exec MACHINE -- ls -l

The exit code is the command's own, 128 and its number for one that a signal ended; 125 when the fault is not the command's, 126 for
a program that may not be executed, 127 for one that is not there. Ctrl-C goes to the command. What it leaves in the background ends with it.`

export const execCommand = () =>
  act<ExecCommandOptions>(
    define('exec', 'Run a command or a shell inside a machine', DETAILS)
      .argument('<machine>', 'name or id')
      .argument('[command...]', 'the program and its arguments (with -i, default: a shell)')
      .option('-t, --tty', 'in a terminal, with the size of this one')
      .option('-i, --interactive', 'send standard input')
      .option('--cwd <dir>', 'the folder to run in, relative to the project (default: the project)')
      .option('-e, --env <name=value>', 'a variable for the command; only NAME takes its value from here (may be repeated)', (value, all: string[] = []) => [
        ...all,
        value,
      ]),
    async () => (await import('../actions/exec.ts')).exec,
  )
