/** What happens at a limit is the policy of its budget: with the real command, the real Hub and the real agent, for each policy, and one pasted command goes on. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Checkpoint, LedgerAudit, Run } from '@autovibe/contract'
import type { ScriptedModel } from '@autovibe/scripted-model'
import { z } from 'zod'
import { type Place, recordsOf, until } from './support/command.ts'
import type { Repository } from './support/demo-project.ts'
import { openScriptedPlace, type ScriptedPlace } from './support/scripted-place.ts'

const COUNT = 'i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo $i > count; sleep 0.02; done'
/** A reply that takes all the output that its call may have leaves little for the next one, and a second such reply nothing. */
const SCRIPT = `
conversations:
  - match: Count for long
    replies:
      - { text: Counting., tools: [{ name: shell, input: { command: "${COUNT}" } }] }
      - { text: It is counted. }
  - match: Think for long
    replies:
      - { text: First., tools: [{ name: shell, input: { command: echo half > half.txt } }] }
      - { text: So much to think of, usage: { output_tokens: 1000000 } }
      - { text: So much to think of, usage: { output_tokens: 1000000 } }
      - { text: "Half is done and kept in half.txt, the rest is open." }
      - { text: Second., tools: [{ name: shell, input: { command: echo whole > whole.txt } }] }
      - { text: All is done. }
`
const CENT = 10_000_000n

const Result = z.object({ type: z.literal('result'), run: Run, checkpoints: z.array(Checkpoint), next: z.array(z.object({ command: z.string() })) })
const Shown = z.object({ run: Run })

let scripted: ScriptedPlace
let place: Place
let model: ScriptedModel
let repository: Repository

before(async () => {
  scripted = await openScriptedPlace({ name: 'limits.yaml', text: SCRIPT })
  ;({ place, model, repository } = scripted)
})
after(() => scripted.close())

const runArgs = (prompt: string, budget: string, ...more: string[]) => [
  ...['run', prompt, '--project', repository.path, '--provider', 'scripted', '--budget', budget, ...more],
]
const resultOf = (stdout: string): z.infer<typeof Result> => Result.parse(recordsOf(stdout).at(-1))
const command = (line: string): string[] => line.split(' ').slice(1)

/** A run in the middle of its command when the money of its machine goes: its limit is now what was spent already. */
async function cutShort(policy: 'park' | 'finish-step') {
  const following = place.start([...runArgs('Count for long', '2.00', '--on-limit', policy), '--json'])
  const { run } = Shown.parse(await following.record('created'))
  const client = await place.client()
  const events = (type: 'step.tool_started' | 'step.tool_finished' | 'run.state_changed') => client.eventPage({ run: run.id, after: '0-0', types: [type] })
  await until('the command', async () => (await events('step.tool_started')).items.length > 0)
  const { spent } = await client.runs.get(run.id)
  const [budget] = await client.budgets.list({ scope: 'machine', scope_id: run.machine_id }).take(1)
  assert.ok(budget)
  assert.equal(budget.policy, policy)
  await client.budgets.update(budget, { limit: spent })
  const ended = await following.ended
  assert.equal(ended.code, 7, ended.stdout + ended.stderr)
  const paused = (await events('run.state_changed')).items.find(({ data }) => data['to'] === 'paused')
  assert.match(String(paused?.data['reason']), /^Nothing is left of the budget of the machine/)
  return { run, client, events, fix: String(paused?.data['fix']), result: resultOf(ended.stdout) }
}

test('a run whose limit parks stands still in the middle of its command, and one pasted command lets it go on where it was', async () => {
  const { run, client, events, fix, result } = await cutShort('park')
  assert.equal(result.run.state, 'paused')
  assert.equal((await events('step.tool_finished')).items.length, 0)
  assert.match(fix, /^autovibe budget set mch_\w+ \d+\.\d\d$/)
  const calls = model.calls().length
  const raised = await place.run(command(fix))
  assert.equal(raised.code, 0, raised.stderr)
  const attached = await place.run(['attach', run.id, '--json'])
  assert.equal(attached.code, 0, attached.stdout + attached.stderr)
  assert.deepEqual([resultOf(attached.stdout).run.summary, model.calls().length - calls], ['It is counted.', 1])
  const finished = (await events('step.tool_finished')).items
  assert.deepEqual([finished.length, finished[0]?.data['is_error']], [1, false])
  assert.equal((await client.runs.get(run.id)).state, 'succeeded')
})

test('a run whose limit lets a step finish ends its command, makes no further call, and goes on when it is raised', async () => {
  const calls = model.calls().length
  const { run, events, fix } = await cutShort('finish-step')
  const finished = (await events('step.tool_finished')).items
  assert.deepEqual([finished.length, finished[0]?.data['is_error'], model.calls().length - calls], [1, false, 1])
  assert.equal((await place.run(command(fix))).code, 0)
  const attached = await place.run(['attach', run.id, '--json'])
  assert.equal(resultOf(attached.stdout).run.summary, 'It is counted.')
})

test('a run that is wound down reports out of what was set aside, keeps a checkpoint, outlives its Hub so, and finishes with new money', async () => {
  const first = await place.run([...runArgs('Think for long', '0.275', '--on-limit', 'wind-down', '--hand-back', '0.10'), '--json'])
  assert.equal(first.code, 7, first.stdout + first.stderr)
  const { run, checkpoints } = resultOf(first.stdout)
  assert.deepEqual([run.state, run.summary], ['paused', 'Half is done and kept in half.txt, the rest is open.'])
  assert.match(run.state_reason ?? '', /budget/)
  assert.ok(checkpoints.length > 0 && checkpoints.every(({ state }) => state === 'verified'))
  const sumsOf = async () => {
    const [one] = await (await place.client()).budgets.list({ scope: 'run', scope_id: run.id }).take(1)
    assert.ok(one)
    return { settled: BigInt(one.settled), reserved: BigInt(one.reserved), aside: BigInt(one.set_aside), limit: BigInt(one.limit) }
  }
  const paused = await sumsOf()
  assert.ok(paused.aside > 0n && paused.aside < 10n * CENT, 'the closing turn was paid from it')
  assert.equal(paused.reserved, paused.aside)
  assert.ok(paused.settled > 16n * CENT && paused.settled + paused.reserved <= paused.limit)

  const { pid } = JSON.parse(await readFile(join(place.dataDir, 'hub.json'), 'utf8')) as { pid: number }
  process.kill(pid, 'SIGKILL')
  assert.equal((await place.run(['up'])).code, 0)
  assert.deepEqual(await sumsOf(), paused)

  const events = (await (await place.client()).eventPage({ run: run.id, after: '0-0', types: ['run.state_changed'] })).items
  const fix = String(events.find(({ data }) => data['to'] === 'paused')?.data['fix'])
  assert.match(fix, /^autovibe budget set run_\w+ \d+\.\d\d$/)
  const raised = await place.run(command(fix))
  assert.equal(raised.code, 0, raised.stderr)
  const attached = await place.run(['attach', run.id, '--json'])
  assert.equal(attached.code, 0, attached.stdout + attached.stderr)
  assert.deepEqual([resultOf(attached.stdout).run.state, resultOf(attached.stdout).run.summary], ['succeeded', 'All is done.'])
  await until('what was set aside to be given back', async () => (await sumsOf()).reserved === 0n)
  assert.deepEqual((await place.json(LedgerAudit, ['budget', 'audit'])).findings, [])
})

test('what shall happen at a limit is refused unless it can be done', async () => {
  for (const more of [
    ['--on-limit', 'explode'],
    ['--hand-back', '0.10'],
    ['--on-limit', 'wind-down', '--hand-back', '3.00'],
  ]) {
    assert.equal((await place.refusal(runArgs('Count for long', '2.00', ...more))).code, 'request.invalid')
  }
})
