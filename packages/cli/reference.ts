/** Writes docs/reference/cli.md from the commands themselves; `--check` only says whether it is up to date. */
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { buildProgram } from './program.ts'

const TARGET = fileURLToPath(new URL('../../docs/reference/cli.md', import.meta.url))

/** The page, one section for each command. */
export function reference(): string {
  const program = buildProgram()
  const sections = program.commands.flatMap((command) => section(command, ['autovibe'], 2))
  return [
    '# The command',
    '',
    '<!-- Made by `node packages/cli/reference.ts` from packages/cli/commands. -->',
    '',
    program.description(),
    '',
    ...CONTRACT,
    '',
    ...sections,
  ].join('\n')
}

const CONTRACT = [
  'What holds for every command:',
  '',
  '- Standard output holds the answer, standard error everything else. Without a terminal, only colours and the live line are left out; `NO_COLOR` leaves out colours everywhere.',
  '- `--json` answers with one JSON document, or with one per line while following. A failure is one problem document (RFC 9457) on standard error.',
  '- Exit codes: 0 done, 1 failed, 2 wrong use, 3 try again, 4 no access, 5 not found, 6 conflict, 7 budget used up, 8 needs a person, 130 interrupted.',
  '- A setting comes from its flag, else its environment variable, else `.autovibe.json` in the project, else `~/.config/autovibe/config.json`, else its default. A project file may set',
  '  `agent`, `model`, `provider`, `check` and `budget`; the user file also `data_dir` and `port`.',
  '- The data directory is `--data-dir`, `AUTOVIBE_DATA_DIR`, `$XDG_DATA_HOME/autovibe`, `/var/lib/autovibe` for root, or `~/.local/share/autovibe`. `AUTOVIBE_URL` with `AUTOVIBE_API_KEY` names a Hub elsewhere.',
  '- Ctrl-C while following detaches; the run goes on.',
  '- Where an id is taken, its beginning will do, when only one begins so: `autovibe diff ckp_01m84wxtd`.',
  '- `autovibe help COMMAND` is `autovibe COMMAND --help`.',
]

function section(command: Command, path: readonly string[], level: number): string[] {
  const names = [...path, command.name()]
  if (command.commands.length > 0)
    return [`${'#'.repeat(level)} ${names.join(' ')}`, '', command.description(), '', ...command.commands.flatMap((child) => section(child, names, level + 1))]
  const usage = [...names, ...command.registeredArguments.map((argument) => (argument.required ? `<${argument.name()}>` : `[${argument.name()}]`)), '[options]']
  const rows = [
    ...command.registeredArguments.map((argument) => [`\`${argument.name()}\``, argument.description]),
    ...command.options.map((option) => [`\`${option.flags}\``, option.description]),
  ]
  return [
    `${'#'.repeat(level)} ${names.join(' ')}`,
    '',
    '```',
    usage.join(' '),
    '```',
    '',
    command.description(),
    '',
    '| | |',
    '|---|---|',
    ...rows.map((row) => `| ${row.join(' | ')} |`),
    '',
  ]
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const page = reference()
  if (process.argv.includes('--check')) {
    const current = await readFile(TARGET, 'utf8').catch(() => '')
    if (current !== page) {
      process.stderr.write('docs/reference/cli.md is out of date. Fix: node packages/cli/reference.ts\n')
      process.exitCode = 1
    }
  } else await writeFile(TARGET, page)
}
