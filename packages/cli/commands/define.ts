/** How a command is declared: its words and options here, what it does in a file that is loaded only when it runs. */
import { Command, Option } from 'commander'
import type { Context } from '../context.ts'

/** Options that every command takes. */
export interface CommonOptions {
  readonly json?: boolean
  readonly dataDir?: string
}

/** What a command does; the number is its exit code, nothing is 0. */
export type Action<O> = (context: Context, args: readonly string[], options: O & CommonOptions) => Promise<number | undefined>

export function define(name: string, summary: string, details?: string): Command {
  return new Command(name).summary(summary).description(details === undefined ? `${summary}.` : `${summary}.\n\n${details}`)
}

/** Options that every command takes, beneath its own. */
const common = (): Option[] => [
  new Option('--json', 'one JSON document on standard output (one per line when following)'),
  new Option('--data-dir <dir>', 'where the Hub keeps its data (AUTOVIBE_DATA_DIR)'),
]

/** Takes those options before the name of an inner command too, as people write it. */
export function takeCommonOptions(command: Command): Command {
  for (const option of common()) command.addOption(option.hideHelp())
  return command
}

/** A command that only groups others. */
export const group = (name: string, summary: string, commands: readonly Command[]): Command => {
  const command = takeCommonOptions(new Command(name).summary(summary).description(`${summary}.`).helpCommand(false).usage('COMMAND'))
  for (const child of commands) command.addCommand(child)
  return command
}

/** Binds a command to its action. */
export function act<O>(command: Command, load: () => Promise<Action<O>>): Command {
  for (const option of common()) command.addOption(option)
  return command.action(async (...given: unknown[]) => {
    const args = given
      .slice(0, -2)
      .flat()
      .filter((arg) => typeof arg === 'string')
    const [{ execute }, action] = await Promise.all([import('../shell.ts'), load()])
    await execute(command, action as Action<unknown>, args)
  })
}
