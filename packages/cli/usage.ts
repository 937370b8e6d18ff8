/** What is wrong with a command line, told in the words of the command itself. */
import { AutovibeError } from '@autovibe/contract'
import type { Command, CommanderError } from 'commander'
import { quote } from './git/repository.ts'
import { meantLine } from './misplaced.ts'
import { commandNames } from './words.ts'

/** A mistake that the parser has found. */
export function usageError(error: CommanderError, args: readonly string[], program: Command): AutovibeError {
  const names = commandNames(args, program)
  const help = ['autovibe', ...names, '--help'].join(' ')
  const [first = '', hint = ''] = error.message.replace(/^error: /, '').split('\n')
  const command = names.reduce<Command | undefined>((at, name) => at?.commands.find((child) => child.name() === name), program)
  if (first === '(outputHelp)') {
    const known = command?.commands.map((child) => child.name()).join(', ')
    return new AutovibeError('request.invalid', `autovibe ${names.join(' ')} needs one of its commands: ${known}.`, { fix: help })
  }
  const message = `${first.charAt(0).toUpperCase()}${first.slice(1)}`.replace(/\.*$/, '.')
  const line = error.code === 'commander.excessArguments' || error.code === 'commander.unknownOption' ? meantLine(names, command, args) : undefined
  if (line !== undefined) return new AutovibeError('request.invalid', message, { fix: line })
  const [, words = ''] = /^\(Did you mean (?:one of )?(.+)\?\)$/.exec(hint.trim()) ?? []
  // A command and its short name are one.
  const [meant = '', ...others] = new Set(words.split(', ').map((word) => command?.commands.find((child) => child.aliases().includes(word))?.name() ?? word))
  if (meant === '' || others.length > 0) return new AutovibeError('request.invalid', hint === '' ? message : `${message} ${hint.trim()}`, { fix: help })
  const [, wrong] = /'(.+)'/.exec(first) ?? []
  return new AutovibeError('request.invalid', `${message} Did you mean ${meant}?`, { fix: corrected(args, wrong, meant) ?? help })
}

/** A refusal of the Hub that names members of its request, told by the options and arguments that they came from. */
export function inWordsOf(command: Command, error: AutovibeError): AutovibeError {
  const { code, errors = [], message, fix } = error
  if (code !== 'request.invalid' || !errors.some(({ path }) => MEMBER.test(path))) return error
  const told = errors.map((each) => ({ path: wordFor(command, each.path), message: readable(each.message) }))
  const [first, ...others] = told
  // The Hub's own sentence for it repeats the first member; every other one was written for people.
  if (first === undefined || message !== `${errors[0]?.path}: ${errors[0]?.message}`)
    return new AutovibeError(code, message, { fix, errors: told, requestId: error.requestId, cause: error })
  const sentence = others.length > 0 ? 'Several things are not valid.' : `${first.path}${first.message.startsWith('must ') ? '' : ':'} ${first.message}.`
  return new AutovibeError(code, sentence, { fix: `${nameOf(command)} --help`, errors: told, requestId: error.requestId, cause: error })
}

const MEMBER = /^(body|query|path|headers)(\.|$)/

function wordFor(command: Command, path: string): string {
  const name = (path.split('.')[1] ?? path).replaceAll('_', '-')
  const known = command.registeredArguments.find((argument) => argument.name() === name)
  const option = command.options.find(({ long }) => long === `--${name}`) ?? command.options.find(({ long }) => long && `--${name}`.startsWith(`${long}-`))
  return option?.long ?? (known ? `<${name}>` : name)
}

/** What the schemas say of lengths is written for programmers. */
function readable(message: string): string {
  const [, bound, count] = /^Too (?:small|big): expected string to have (>=|<=)([0-9]+) characters$/.exec(message) ?? []
  if (bound === undefined) return message
  return `must have at ${bound === '>=' ? 'least' : 'most'} ${count} character${count === '1' ? '' : 's'}`
}

function nameOf(command: Command): string {
  return command.parent ? `${nameOf(command.parent)} ${command.name()}` : command.name()
}

const LONGEST_CORRECTION = 200

/** The same line with the right word, quoted for a shell; undefined where that is not certain. */
function corrected(args: readonly string[], wrong: string | undefined, meant: string): string | undefined {
  const given = args.filter((arg) => arg !== '--json')
  if (wrong === undefined || given.filter((arg) => arg === wrong).length !== 1) return undefined
  const line = ['autovibe', ...given.map((arg) => (arg === wrong ? meant : quote(arg)))].join(' ')
  return line.length > LONGEST_CORRECTION || /\n/.test(line) ? undefined : line
}
