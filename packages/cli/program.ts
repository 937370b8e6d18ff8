/** The command line as data: every command with its options, assembled for running, for --help and for the reference. */
import { Command, CommanderError } from 'commander'
import { agentCommand } from './commands/agent.ts'
import { applyCommand } from './commands/apply.ts'
import { attachCommand } from './commands/attach.ts'
import { budgetCommand } from './commands/budget.ts'
import { checkpointCommand } from './commands/checkpoint.ts'
import { takeCommonOptions } from './commands/define.ts'
import { demoCommand } from './commands/demo.ts'
import { diffCommand } from './commands/diff.ts'
import { doctorCommand } from './commands/doctor.ts'
import { downCommand } from './commands/down.ts'
import { execCommand } from './commands/exec.ts'
import { forkCommand } from './commands/fork.ts'
import { logsCommand } from './commands/logs.ts'
import { machineCommand } from './commands/machine.ts'
import { operationCommand } from './commands/operation.ts'
import { projectCommand } from './commands/project.ts'
import { providerCommand } from './commands/provider.ts'
import { psCommand } from './commands/ps.ts'
import { rollbackCommand } from './commands/rollback.ts'
import { runCommand } from './commands/run.ts'
import { substrateCommand } from './commands/substrate.ts'
import { upCommand } from './commands/up.ts'
import { versionCommand } from './commands/version.ts'
import { withHelpOption, withMeantCommand, words } from './words.ts'

const DAILY = [
  upCommand,
  downCommand,
  runCommand,
  psCommand,
  logsCommand,
  attachCommand,
  execCommand,
  diffCommand,
  applyCommand,
  checkpointCommand,
  forkCommand,
  rollbackCommand,
  budgetCommand,
]
const OTHERS = [demoCommand, doctorCommand, agentCommand, machineCommand, operationCommand, projectCommand, providerCommand, substrateCommand, versionCommand]

export function buildProgram(): Command {
  const program = takeCommonOptions(new Command('autovibe').usage('COMMAND'))
    .description('Lets AI coding agents work unattended: hard budgets, checkpoints that can be undone, isolated machines, everything recorded.')
    .helpCommand(false)
    .addHelpText('after', '\nStart here:  autovibe demo\nThen:        autovibe run "PROMPT" --project PATH --budget 2.00\nOne command: autovibe help COMMAND')
  program.commandsGroup('Every day:')
  for (const make of DAILY) program.addCommand(make())
  program.commandsGroup('Also:')
  for (const make of OTHERS) program.addCommand(make())
  for (const command of withChildren(program))
    command
      .exitOverride()
      .configureOutput({ outputError: () => undefined })
      .helpOption('-h, --help', 'show this help')
      .configureHelp({ subcommandTerm: termOf })
      .showSuggestionAfterError(true)
  return program
}

/** A command in the list of commands: what must and may stand behind its name. */
function termOf(command: Command): string {
  const operands = command.registeredArguments.map((argument) => (argument.required ? `<${argument.name()}>` : `[${argument.name()}]`))
  return [command.name(), ...(command.commands.length > 0 ? ['COMMAND'] : operands)].join(' ')
}

/** Runs the command and leaves its exit code in `process.exitCode`. */
export async function main(given: readonly string[]): Promise<void> {
  const program = buildProgram()
  const args = withMeantCommand(withHelpOption(given, program), program)
  program.option('-V, --version', 'show the version').action(async () => {
    if (program.opts()['version'] === true) process.stdout.write(`${(await import('./local/version.ts')).VERSION}\n`)
    else program.outputHelp()
  })
  program.allowExcessArguments(true)
  // With --json there is one document and nothing beside it.
  if (args.includes('--json')) for (const command of withChildren(program)) command.configureOutput({ writeErr: () => undefined })
  try {
    const first = words(args).next().value?.word
    if (first !== undefined && !program.commands.some((command) => command.name() === first)) {
      throw new CommanderError(1, 'commander.unknownCommand', `error: unknown command '${first}'${await didYouMean(first, program)}`)
    }
    await program.parseAsync([...args], { from: 'user' })
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) throw thrown
    // Help and version are answers, not mistakes.
    if (thrown.exitCode === 0) return
    const { reportUsage } = await import('./shell.ts')
    reportUsage(thrown, args, program)
  }
}

async function didYouMean(word: string, program: Command): Promise<string> {
  const { nearest } = await import('./render/nearest.ts')
  const known = nearest(
    word,
    program.commands.map((command) => command.name()),
  )
  return known === undefined ? '' : `\n(Did you mean ${known}?)`
}

/** The command and everything beneath it. */
export function withChildren(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withChildren)]
}
