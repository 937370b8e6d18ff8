/** The words of a command line that can name a command. Loaded for --help too, so it loads nothing. */
import type { Command } from 'commander'

/** What stands on the line besides options, with its place. Before a command's name only the options that all commands take can stand. */
export function* words(args: readonly string[]): Generator<{ readonly word: string; readonly index: number }> {
  for (let index = 0; index < args.length; index++) {
    const word = args[index] ?? ''
    if (word === '--data-dir') index++
    else if (!word.startsWith('-')) yield { word, index }
  }
}

/** The names of commands that the line begins with, from the outermost one. */
export function commandNames(args: readonly string[], program: Command): string[] {
  const names: string[] = []
  let at: Command | undefined = program
  for (const { word } of words(args)) {
    at = at.commands.find((command) => command.name() === word)
    if (at === undefined) break
    names.push(word)
  }
  return names
}

/** `help` in the place of a command asks for the help of what follows it, as --help does. */
export function withHelpOption(args: readonly string[], program: Command): readonly string[] {
  let at: Command | undefined = program
  for (const { word, index } of words(args)) {
    if (word === 'help' && at.commands.length > 0) return [...args.slice(0, index), ...args.slice(index + 1), '--help']
    at = at.commands.find((command) => command.name() === word)
    if (at === undefined) break
  }
  return args
}

/** Groups that answer without one of their commands, and the command that they then mean. */
const MEANT: Readonly<Record<string, string>> = { budget: 'show', project: 'list' }

/** `autovibe budget` as `autovibe budget show`, unless it is the help that is asked for. */
export function withMeantCommand(args: readonly string[], program: Command): readonly string[] {
  const [first, ...others] = words(args)
  const meant = first && MEANT[first.word]
  if (meant === undefined || others.length > 0 || args.some((arg) => arg === '--help' || arg === '-h')) return args
  const isKnown = program.commands.some((command) => command.name() === first?.word)
  return isKnown && first ? [...args.slice(0, first.index + 1), meant, ...args.slice(first.index + 1)] : args
}
