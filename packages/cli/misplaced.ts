/** What stands on a line where its command takes nothing, and the line on which it means something. */
import type { Command } from 'commander'
import { quote } from './git/repository.ts'

/** By the names of the command; `operands` is what it was given besides its options, `args` the line after its names. */
const MEANT: Readonly<Record<string, (operands: readonly string[], args: readonly string[]) => string | undefined>> = {
  'project egress': ([project = '', ...destinations]) =>
    destinations.every((destination) => !destination.startsWith('-'))
      ? `${quote(project)} ${destinations.map((destination) => `--allow ${quote(destination)}`).join(' ')}`
      : undefined,
  'checkpoint retention': ([project = '', ...others], args) =>
    others.length > 0 || args.includes('--project')
      ? undefined
      : ['--project', ...args.toSpliced(args.indexOf(project), 1).toSpliced(0, 0, project)].map(quote).join(' '),
  exec: ([machine = '', program], args) => {
    // Options may stand before the machine; what follows its program is the command's own.
    const at = args.indexOf(machine)
    return program === undefined || machine.startsWith('-') || args[at + 1] !== program
      ? undefined
      : [...args.slice(0, at + 1), '--', ...args.slice(at + 1)].map(quote).join(' ')
  },
}

/** The line that was meant, to be pasted; undefined where it is not certain. */
export function meantLine(names: readonly string[], command: Command | undefined, args: readonly string[]): string | undefined {
  const own = args.slice(args.indexOf(names.at(-1) ?? '') + 1).filter((arg) => arg !== '--json')
  const meant = MEANT[names.join(' ')]?.(command?.args ?? [], own)
  return meant === undefined || /\n/.test(meant) ? undefined : ['autovibe', ...names, meant].join(' ')
}
