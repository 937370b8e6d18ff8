/** autovibe project: what is evolved, and what each sets for itself: models, prices, keys, what its machines may reach, and when checkpoints are taken. */
import { act, define, group } from './define.ts'
import { type LimitOptions, withLimitOptions } from './limit-options.ts'

export interface ProjectModelsOptions {
  readonly allow?: readonly string[]
  readonly any?: boolean
}

export interface ProjectPriceOptions {
  readonly provider?: string
  readonly input?: string
  readonly output?: string
  readonly cacheRead?: string
  readonly cacheWrite?: string
  readonly cacheWrite1h?: string
  readonly contextWindow?: string
  readonly remove?: boolean
}

export interface ProjectEgressOptions {
  readonly allow?: readonly string[]
  readonly allowPrivate?: readonly string[]
  readonly remove?: readonly string[]
  readonly none?: boolean
}

export interface ProjectTriggersOptions {
  readonly afterResponse?: string
  readonly beforeRisky?: boolean
  readonly risky?: readonly string[]
  readonly notRisky?: readonly string[]
  readonly every?: string
  readonly everyBudget?: string
  readonly atEnd?: boolean
  readonly floor?: string
  readonly default?: boolean
}

export interface ProjectKeyOptions {
  readonly keyStdin?: boolean
  readonly remove?: boolean
}

export interface ProjectLimitsOptions extends LimitOptions {
  readonly none?: boolean
  readonly propose?: boolean
}

const PROJECT = 'its name or id'
const USD = 'US dollars per million tokens'

export const projectCommand = () =>
  group('project', 'List projects, and set their models, prices, keys, limits, network and checkpoints', [
    act(
      define('list', 'List projects', 'Without one of its commands, autovibe project does this.'),
      async () => (await import('../actions/project.ts')).projectList,
    ),
    act(
      define('show', 'Show a project with what it has set for itself').argument('<project>', PROJECT),
      async () => (await import('../actions/project.ts')).projectShow,
    ),
    act<ProjectModelsOptions>(
      define(
        'models',
        'Show or set the models that a project may call',
        'A model is named as it is called, exactly. Calls of others are refused before anything is spent, those of runs at work included.',
      )
        .argument('<project>', PROJECT)
        .option('--allow <model...>', 'these and no others, instead of those allowed so far')
        .option('--any', 'every model that has a price'),
      async () => (await import('../actions/project.ts')).projectModels,
    ),
    act<ProjectPriceOptions>(
      define(
        'price',
        'Set what a model costs a project',
        [
          'For a contract, or a model without a price of the Hub. It is used for the bound of a call and for its charge: below what is billed, the project spends more than its limit says.',
          'What is left out stays as it was set before. Of a new price the caches cost as much as Anthropic takes at most: reads as input, writes 1.25 times (5 minutes) and 2 times (1 hour) as much.',
        ].join('\n'),
      )
        .argument('<project>', PROJECT)
        .argument('<model>', 'its id as it is called, exactly')
        .option('--input <usd>', `input, in ${USD}`)
        .option('--output <usd>', `output, in ${USD}`)
        .option('--cache-read <usd>', `input read from the cache, in ${USD}`)
        .option('--cache-write <usd>', `input written to the cache for 5 minutes, in ${USD}`)
        .option('--cache-write-1h <usd>', `input written to the cache for 1 hour, in ${USD}`)
        .option('--context-window <tokens>', 'the most input that the model accepts, in tokens')
        .option('--provider <name>', 'whose model it is (AUTOVIBE_PROVIDER; anthropic)')
        .option('--remove', "go back to the Hub's price"),
      async () => (await import('../actions/project-price.ts')).projectPrice,
    ),
    act<ProjectLimitsOptions>(
      withLimitOptions(
        define(
          'limits',
          'Show or set what new machines of a project may take',
          [
            'What is left out stays as it was set before. Machines that are there keep theirs: autovibe machine limits.',
            'A proposal goes by what the runs of the last 30 days used: processors for all but the busiest twentieth of the time, and the most of memory and disk, each with some on top. It changes nothing.',
          ].join('\n'),
        ).argument('<project>', PROJECT),
      )
        .option('--none', 'none of its own: all as the host allows')
        .option('--propose', 'show cores, memory and disk that fit what its runs used, with the reasons and the command that sets them'),
      async () => (await import('../actions/machine-limits.ts')).projectLimits,
    ),
    act<ProjectKeyOptions>(
      define(
        'key',
        'Give a project a key of its own at a provider',
        "From then on its calls are made and billed with it. It is kept encrypted in the Hub, never enters a machine, and is sent nowhere but to the provider's address of now.",
      )
        .argument('<project>', PROJECT)
        .argument('<provider>', 'its name, as autovibe provider list says')
        .option('--key-stdin', 'read the key from standard input')
        .option('--remove', "forget it, and go back to the Hub's key"),
      async () => (await import('../actions/project.ts')).projectKey,
    ),
    act<ProjectEgressOptions>(
      define(
        'egress',
        'Show or set what the machines of a project may reach',
        [
          'Without a list they reach nothing but the Hub. What is on it they reach through a proxy of the Hub, which resolves names itself, refuses addresses that are not public, counts bytes and records every attempt.',
          'Machines at work hear of a change at once: what is open to a destination that was removed is ended.',
        ].join('\n'),
      )
        .argument('<project>', PROJECT)
        .option('--allow <host:port...>', 'add a host name, *.NAME for its subdomains, or a public IP address; IPv6 in brackets')
        .option('--allow-private <address:port...>', 'add an IP address in a network of your own, such as a registry there')
        .option('--remove <host:port...>', 'take away, as the list says it')
        .option('--none', 'take away all: nothing but the Hub'),
      async () => (await import('../actions/project-egress.ts')).projectEgress,
    ),
    act<ProjectTriggersOptions>(
      define(
        'triggers',
        'Show or set when checkpoints of a project are taken by themselves',
        [
          'What is left out stays as it was set before. Machines at work go by a change from their next step on.',
          'Whatever is set, files that have changed are in a checkpoint at the end of the run, and those taken by hand and before a rollback are never held back.',
        ].join('\n'),
      )
        .argument('<project>', PROJECT)
        .option('--after-response <when>', 'after a step of the agent: always, when-files-changed or never')
        .option('--before-risky', 'before a command that may lose or publish work, while something is not kept')
        .option('--no-before-risky', 'not before such commands')
        .option(
          '--risky <pattern...>',
          "add commands that count as risky: words that follow one another, * for any characters of a word, for instance 'make deploy'",
        )
        .option('--not-risky <pattern...>', 'take away, as the list says it')
        .option('--every <duration>', 'when so much time has passed since the last one, in whole minutes, for instance 10m; 0 is never')
        .option('--every-budget <percent>', "whenever so much of the run's budget is spent, 5 to 50; 0 is never")
        .option('--at-end', 'at the end of a run, also when no file has changed since the last one')
        .option('--no-at-end', 'at the end only what has changed')
        .option('--floor <duration>', 'the least time from one to the next, for instance 30s; 0 is none')
        .option('--default', 'all as by default'),
      async () => (await import('../actions/project-triggers.ts')).projectTriggers,
    ),
  ]).usage('[COMMAND]')
