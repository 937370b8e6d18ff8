/** What a person is told when a machine could not start a command, and the exit code that docker has for it. */
import { AutovibeError, type ExecOutput } from '@autovibe/contract'

type Refused = Extract<ExecOutput, { type: 'refused' }>

/** 127 no such program, 126 not to be executed, 125 everything that is no fault of the command. */
const EXIT_CODES: Readonly<Record<Refused['why'], number>> = { no_program: 127, not_executable: 126, no_folder: 125, no_terminal: 125, broken: 125 }

const FIXES: Readonly<Record<Refused['why'], (machine: string) => string>> = {
  no_program: (machine) => `autovibe exec ${machine} -- ls /usr/bin`,
  not_executable: (machine) => `autovibe exec ${machine} -- ls -l`,
  no_folder: (machine) => `autovibe exec ${machine} -- ls`,
  no_terminal: (machine) => `Leave out --tty: autovibe exec ${machine} -- COMMAND`,
  broken: () => 'autovibe logs --hub',
}

/** The refusal as an error; `machine` is its name. The message is the machine's own word. */
export function refusalOf({ why, message }: Refused, machine: string): { readonly error: AutovibeError; readonly exitCode: number } {
  return { error: new AutovibeError('exec.not_started', message, { fix: FIXES[why](machine) }), exitCode: EXIT_CODES[why] }
}
