/** Tells whether a shell command may destroy what no later command brings back: a small classifier that would rather warn once too often. */

import { bare, COMMAND_CHARS_MAX, partsOf, wordsOf } from './command-words.ts'

/** True when one of the command's parts may lose work or publish it. Reads words, not shell grammar: quoting and nesting only make it warn more. */
export function isRiskyCommand(command: string): boolean {
  // What cannot be read to its end is not known to be harmless.
  if (command.length > COMMAND_CHARS_MAX) return true
  if (DANGEROUS_TEXT.some((pattern) => pattern.test(command))) return true
  return partsOf(command).some(isRiskyPart)
}

/** Database statements arrive inside a client's argument or a here-document, so they are looked for in the whole text. */
const DANGEROUS_TEXT: readonly RegExp[] = [
  /\b(drop|truncate)\s+(table|database|schema|index|view|collection)\b/i,
  /\btruncate\s+(only\s+)?["'`]?[a-z_][\w."]*\s*(;|cascade|restart)/i,
  /\bdelete\s+from\b/i,
  /\bdropDatabase\s*\(/,
  /\b(flushall|flushdb)\b/i,
  /\b(rmtree|rmSync|rm_rf|remove_dir_all)\b/,
]

/** Words that only carry another command. */
const CARRIERS = new Set([
  'sudo',
  'env',
  'nohup',
  'time',
  'nice',
  'ionice',
  'command',
  'exec',
  'builtin',
  'xargs',
  'stdbuf',
  'timeout',
  'then',
  'do',
  'else',
  'if',
  'while',
  'until',
  '!',
  '{',
  'busybox',
])
const SHELLS = new Set(['sh', 'bash', 'zsh', 'dash', 'eval'])

type Rule = (args: readonly string[]) => boolean

const always: Rule = () => true

/** What each program has to be called with to count. */
const RULES: Readonly<Record<string, Rule>> = {
  rm: (args) => hasFlag(args, 'r', 'R', 'f') || hasLong(args, 'recursive', 'force') || args.some((arg) => /[*?]/.test(arg)),
  rmdir: always,
  unlink: always,
  shred: always,
  dd: always,
  truncate: always,
  mv: always,
  fallocate: always,
  wipefs: always,
  dropdb: always,
  rsync: (args) => args.some((arg) => arg.startsWith('--delete') || arg === '--remove-source-files'),
  find: (args) => args.some((arg) => arg === '-delete' || arg === '-exec' || arg === '-execdir'),
  chmod: (args) => hasFlag(args, 'R') || hasLong(args, 'recursive'),
  chown: (args) => hasFlag(args, 'R') || hasLong(args, 'recursive'),
  git: riskyGit,
  npm: (args) => mentions(args, 'publish', 'unpublish', 'deprecate'),
  pnpm: (args) => mentions(args, 'publish', 'unpublish'),
  yarn: (args) => mentions(args, 'publish', 'unpublish'),
  cargo: (args) => mentions(args, 'publish', 'yank'),
  gem: (args) => mentions(args, 'push', 'yank'),
  twine: (args) => mentions(args, 'upload'),
  poetry: (args) => mentions(args, 'publish'),
  uv: (args) => mentions(args, 'publish'),
  docker: (args) => mentions(args, 'push', 'prune', 'rm', 'rmi', 'down'),
  kubectl: (args) => mentions(args, 'delete', 'apply', 'replace', 'drain'),
  helm: (args) => mentions(args, 'uninstall', 'delete', 'upgrade'),
  terraform: (args) => mentions(args, 'apply', 'destroy'),
  gh: (args) => mentions(args, 'delete', 'merge', 'release'),
  rails: (args) => args.some((arg) => /^db:(drop|reset|schema:load|purge|rollback)/.test(arg)),
  rake: (args) => args.some((arg) => /^db:(drop|reset|schema:load|purge|rollback)/.test(arg)),
  prisma: (args) => mentions(args, 'reset') || (mentions(args, 'push') && args.some((arg) => arg.includes('force-reset') || arg.includes('accept-data-loss'))),
  npx: (args) => isRiskyWords(args.filter((arg) => !arg.startsWith('-'))),
}

function riskyGit(args: readonly string[]): boolean {
  const words = withoutGitOptions(args)
  const [verb = '', ...rest] = words
  switch (verb) {
    case 'clean':
    case 'filter-branch':
    case 'filter-repo':
    case 'rebase':
    case 'gc':
    case 'prune':
    case 'push':
      return true
    case 'reset':
      return hasLong(rest, 'hard', 'merge', 'keep')
    case 'checkout':
      return hasFlag(rest, 'f') || hasLong(rest, 'force') || rest.includes('--') || rest.includes('.')
    case 'switch':
      return hasFlag(rest, 'f') || hasLong(rest, 'force', 'discard-changes')
    case 'restore':
    case 'rm':
      return true
    case 'stash':
      return mentions(rest, 'drop', 'clear')
    case 'branch':
      return hasFlag(rest, 'D', 'd', 'f') || hasLong(rest, 'delete', 'force')
    case 'tag':
      return hasFlag(rest, 'd', 'f')
    case 'worktree':
      return mentions(rest, 'remove', 'prune')
    case 'reflog':
      return mentions(rest, 'expire', 'delete')
    case 'update-ref':
      return true
    default:
      return false
  }
}

function isRiskyPart(part: string): boolean {
  return overwrites(part) || isRiskyWords(wordsOf(part))
}

function isRiskyWords(words: readonly string[]): boolean {
  for (let i = 0; i < words.length; i++) {
    const word = bare(words[i] ?? '')
    const isAssignment = /^[A-Za-z_]\w*=/.test(word)
    if (isAssignment || CARRIERS.has(word) || word.startsWith('-') || /^[0-9.]+[smhd]?$/.test(word) || word === '') continue
    const name = word.slice(word.lastIndexOf('/') + 1)
    if (name.startsWith('mkfs')) return true
    const args = words.slice(i + 1).map(bare)
    if (SHELLS.has(name)) return isRiskyWords(args)
    const rule = Object.hasOwn(RULES, name) ? RULES[name] : undefined
    return rule?.(args) ?? false
  }
  return false
}

/** `>` onto an absolute path empties a file outside the project's everyday work; `>>` appends. Writing project files is what agents do all day. */
function overwrites(part: string): boolean {
  for (const match of part.matchAll(/(?<!>)>\|?(?!>)\s*([^\s&>|;]+)/g)) {
    const target = bare(match[1] ?? '')
    if (target.startsWith('/') && !target.startsWith('/dev/') && !target.startsWith('/tmp/')) return true
  }
  return false
}

function withoutGitOptions(args: readonly string[]): readonly string[] {
  let i = 0
  while (i < args.length) {
    const arg = args[i] ?? ''
    if (arg === '-C' || arg === '-c') i += 2
    else if (arg.startsWith('-')) i += 1
    else break
  }
  return args.slice(i)
}

function hasFlag(args: readonly string[], ...letters: string[]): boolean {
  return args.some((arg) => /^-[A-Za-z]+$/.test(arg) && letters.some((letter) => arg.includes(letter)))
}

function hasLong(args: readonly string[], ...names: string[]): boolean {
  return args.some((arg) => names.some((name) => arg === `--${name}` || arg.startsWith(`--${name}=`)))
}

function mentions(args: readonly string[], ...words: string[]): boolean {
  return args.some((arg) => words.includes(arg))
}
