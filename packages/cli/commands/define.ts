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
  const command = new Command(name).summary(summary).description(details === undefined ? `${summary}.` : `${summary}.\n\n${details}`)
  return command
    .option('--json', 'one JSON document on standard output (one per line when following)')
    .option('--data-dir <dir>', 'where the Hub keeps its data (AUTOVIBE_DATA_DIR)')
}

/** A command that only groups others. */
export const group = (name: string, summary: string, commands: readonly Command[]): Command => {
  // Taken before the inner command's name too, as people write it.
  const common = [new Option('--json').hideHelp(), new Option('--data-dir <dir>').hideHelp()]
  const command = new Command(name).summary(summary).description(`${summary}.`).helpCommand(false)
  for (const option of common) command.addOption(option)
  for (const child of commands) command.addCommand(child)
  return command
}

/** Binds a command to its action. */
export function act<O>(command: Command, load: () => Promise<Action<O>>): Command {
  return command.action(async (...given: unknown[]) => {
    const args = given.slice(0, -2).filter((arg) => typeof arg === 'string')
    const [{ execute }, action] = await Promise.all([import('../shell.ts'), load()])
    await execute(command, action as Action<unknown>, args)
  })
}
