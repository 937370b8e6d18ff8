/** autovibe run: a prompt in, a metered, checkpointed, reviewable change out. */
import { act, define } from './define.ts'
import { type LimitOptions, withLimitOptions } from './limit-options.ts'

export interface RunOptions extends LimitOptions {
  readonly project?: string
  readonly machine?: string
  readonly from?: string
  readonly budget?: string
  readonly onLimit?: string
  readonly handBack?: string
  readonly agent?: string
  readonly model?: string
  readonly check?: string
  readonly provider?: string
  readonly includeDirty?: boolean
  readonly allowUnisolated?: boolean
  readonly detach?: boolean
  readonly name?: string
}

export const runCommand = () =>
  act<RunOptions>(
    withLimitOptions(
      define(
        'run',
        'Let an agent work on a git checkout',
        'HEAD is copied into a machine of its own; your checkout is not touched until `autovibe apply`. Starts the Hub when none runs. Ctrl-C detaches, the run goes on.',
      )
        .argument('<prompt>', 'what the agent shall do (- reads it from standard input)')
        .option('--project <path>', 'the git checkout to work on (default: this folder)')
        .option('--budget <usd>', 'the most this run may spend, in US dollars (AUTOVIBE_BUDGET)')
        .option(
          '--on-limit <policy>',
          'when the money is used up: park (stand still at once), finish-step, or wind-down (close the work and report) (as the project has it; park)',
        )
        .option('--hand-back <usd>', 'with wind-down: how much of the budget is set aside for closing the work (a tenth, at least 0.05, at most half)')
        .option('--agent <agent>', 'builtin or claude-code (AUTOVIBE_AGENT; builtin)')
        .option('--model <model>', 'the model (AUTOVIBE_MODEL; the default of the provider)')
        .option('--check <command>', 'a command that shall succeed at the end, for instance "npm test" (AUTOVIBE_CHECK)')
        .option('--provider <name>', 'the vendor of the model (AUTOVIBE_PROVIDER; anthropic)')
        .option('--include-dirty', 'bring uncommitted changes along')
        .option('--allow-unisolated', 'accept a machine without isolation')
        .option('--machine <machine>', 'go on in this machine instead of a new one, with the agent, provider and model of its last run where none is said')
        .option('--from <checkpoint>', 'start the new machine from this checkpoint')
        .option('--name <name>', 'the name of the project (default: from the folder)')
        .option('--detach', 'do not follow the run'),
    ),
    async () => (await import('../actions/run.ts')).run,
  )
