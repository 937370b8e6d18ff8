/** The last words of the demo: what it took away, what is left, and commands that can be pasted. */
import { dirname } from 'node:path'
import { quote } from '../git/repository.ts'
import type { Remnant } from '../local/demo-things.ts'
import type { Paint } from '../output.ts'
import { table } from './text.ts'

/** What stays in any case. */
export interface DemoStays {
  readonly hubUrl: string
  /** False for a Hub that somebody else runs elsewhere. */
  readonly isOurHub: boolean
  /** What a command needs to reach the same Hub, or nothing. */
  readonly suffix: string
}

export interface DemoEnd extends DemoStays {
  /** The names of the two machines. */
  readonly rolledBack: string
  readonly forked: string
  /** The repository that is kept, with the machines; null when all of it was taken away. */
  readonly keptAt: string | null
  readonly runId: string
  readonly dataDir: string
}

export function renderDemoEnd({ rolledBack, forked, keptAt, hubUrl, isOurHub, dataDir }: DemoEnd, paint: Paint): string[] {
  const machines = `the machines ${rolledBack} and ${forked}`
  const record = `the run with its events, costs and checkpoints, as the project demo ${isOurHub ? `in ${dataDir}` : 'in the Hub'}`
  return [
    `${paint.bold('Removed')}  ${keptAt === null ? `${machines}, the repository, ` : ''}the scripted model and its provider.`,
    `${paint.bold('Kept')}     ${keptAt === null ? record : `${machines}, the repository ${keptAt}, and ${record}`}.`,
    `${paint.bold('Running')}  the Hub, at ${hubUrl}.`,
  ]
}

export function demoNext({ rolledBack, forked, keptAt, runId, isOurHub, suffix }: DemoEnd): string {
  const here = (words: string) => `autovibe ${words}${suffix}`
  const commands: readonly (readonly [string, string])[] = [
    [here(`checkpoint list ${runId}`), 'what can be gone back to'],
    [here(`diff ${runId}`), 'the change'],
    [here(`attach ${runId}`), 'the whole run again, step by step'],
    ...(keptAt === null
      ? []
      : ([
          [here(`apply ${forked} --project ${quote(keptAt)}`), 'the change, into the repository'],
          [here(`machine destroy ${rolledBack}`), 'removes the machine that was rolled back'],
          [here(`machine destroy ${forked}`), 'removes the fork'],
          [`rm -r ${quote(dirname(keptAt))}`, 'removes the repository'],
        ] as const)),
    ...(isOurHub ? [[here('down'), 'stops the Hub; with --purge, removes all that it keeps too'] as const] : []),
  ]
  return [
    'Next:',
    ...table(
      ['', ''],
      commands.map(([command, why]) => [`  ${command}`, `# ${why}`]),
    ).slice(1),
    'With a repository of yours:',
    '  export ANTHROPIC_API_KEY=…',
    `  autovibe run "PROMPT" --project PATH --budget 2.00 --check "npm test"${suffix}`,
  ].join('\n')
}

/** After a failure or Ctrl-C: what is still there, with the command that takes it away. */
export function renderRemnants(remnants: readonly Remnant[], { hubUrl, isOurHub, suffix }: DemoStays): string[] {
  const here = (command: string) => (command.startsWith('autovibe ') ? `${command}${suffix}` : command)
  return [
    remnants.length === 0 ? 'Everything that the demo had made was taken away again.' : 'Left of the demo:',
    ...remnants.flatMap(({ what, command }) => [`  ${what}; to remove it:`, `    ${here(command)}`]),
    ...(isOurHub ? [`The Hub still runs, at ${hubUrl}; to stop it:`, `    ${here('autovibe down')}`] : []),
  ]
}
