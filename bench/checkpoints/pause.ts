/** How long a real agent stands still for a checkpoint: one run in a real machine, each step of which rewrites a thousand files. */
import type { EventFilter } from '@autovibe/sdk'
import { type BenchOptions, figure, type Measured, type Target } from '../support/report.ts'
import { openStage, PLENTY_NANO_USD, PROVIDER, type Stage } from '../support/stage.ts'

const FILES = 1_000
const P99_BELOW_MS = 25
const RUN_TIMEOUT_MS = 10 * 60_000

const COMMAND = `mkdir -p changed; n=$(date +%N); for i in $(seq ${FILES}); do echo "$n $i" > changed/$i; done`
const scriptOf = (steps: number): string =>
  [
    'conversations:',
    '  - match: Rewrite the files',
    '    replies:',
    ...Array.from({ length: steps }, () => `      - tools: [{ name: shell, input: { command: ${JSON.stringify(COMMAND)}, timeout_seconds: 60 } }]`),
    '      - text: Rewritten.',
    '',
  ].join('\n')

export async function measurePause({ quick, progress }: BenchOptions): Promise<Measured> {
  const steps = quick ? 20 : 200
  progress(`an agent that changes ${FILES} files ${steps} times`)
  await using stage = await openStage(scriptOf(steps))
  const { run } = await stage.client.runs.create({
    project: stage.projectId,
    prompt: 'Rewrite the files',
    provider: PROVIDER,
    budget: PLENTY_NANO_USD,
  })
  const ended = await stage.client.runs.wait(run.id, 'ended', { timeoutMs: RUN_TIMEOUT_MS })
  if (ended.state !== 'succeeded') throw new Error(`the run ended as ${ended.state}: ${ended.state_reason}`)
  const waits = await waitsOf(stage, { run: run.id, types: ['run.checkpoint_waited'] })
  const pause = figure(`pause of the agent, ${FILES} files changed`, waits)
  const target: Target = { name: pause.name, goal: `p99 < ${P99_BELOW_MS} ms`, measured: `${pause.p99} ms`, held: pause.p99 < P99_BELOW_MS }
  return {
    figures: [pause],
    targets: [target],
    notes: [
      'The pause is what the agent itself measured, from the point where it stands still and asks until it goes on; what was changed before is captured, read back and verified meanwhile.',
    ],
  }
}

/** What the agent told of each checkpoint that came after changes, in ms. */
async function waitsOf({ client }: Stage, filter: EventFilter): Promise<number[]> {
  const waits: number[] = []
  for (let after = '0-0'; ; ) {
    const { items } = await client.eventPage({ ...filter, after })
    const last = items.at(-1)
    if (last === undefined) return waits
    for (const { data } of items) if (data['trigger'] === 'files-changed') waits.push(Number(data['waited_ms']))
    after = last.cursor
  }
}
