/** What a follower sees adds up, whatever cuts a run short: the costs told are the ledger's, and the steps shown are those that are counted. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Budget, Machine, Run, Step } from '@autovibe/contract'
import { type ScriptedModel, startScriptedModel } from '@autovibe/scripted-model'
import { z } from 'zod'
import { makePlace, type Place, recordsOf, until } from './support/command.ts'
import { demoRepository, type Repository } from './support/demo-project.ts'
import { setProvider } from './support/scripted.ts'

const SCRIPT = `
conversations:
  - match: Be cut in a command
    replies:
      - { text: First., tools: [{ name: list_files, input: {} }] }
      - { text: Slow., tools: [{ name: shell, input: { command: sleep 1000 } }] }
      - { text: Done. }
  - match: Be cut in a call
    replies:
      - { text: First., tools: [{ name: list_files, input: {} }] }
      - { text: Held., tools: [{ name: list_files, input: {} }] }
      - { text: Done. }
`
const HELD = { conversation: 1, reply: 1 }

const Amount = z.string().regex(/^-?\d+$/)
/** The records that tell of money; every other one is left out. */
const Told = z.union([
  z.object({ type: z.enum(['step_finished', 'step_interrupted']), step: Step, cost_before: Amount, spent: Amount }),
  z.object({ type: z.literal('cost_changed'), index: z.int().nullable(), change: Amount, spent: Amount }),
])
const Refusal = z.object({ code: z.string(), message: z.string(), fix: z.string().nullable() })
const Result = z.object({
  type: z.literal('result'),
  run: Run,
  steps: z.array(Step),
  refusal: Refusal.nullable(),
  next: z.array(z.object({ command: z.string(), when: z.string() })),
})
const Ps = z.object({ machines: z.array(Machine.extend({ run: Run.nullable() })) })

let place: Place
let model: ScriptedModel
let repository: Repository
/** While there is one, the model waits with the reply that is held. */
let gate: PromiseWithResolvers<void> | undefined

before(async () => {
  place = await makePlace()
  model = await startScriptedModel({
    script: { name: 'cut.yaml', text: SCRIPT },
    onCall: ({ conversation, reply }) => (conversation === HELD.conversation && reply === HELD.reply ? gate?.promise : undefined),
  })
  repository = await demoRepository()
  assert.equal((await place.run(['up'])).code, 0)
  await setProvider(place, model.url)
})
after(async () => {
  gate?.resolve()
  await place.remove()
  await model.close()
  await repository.remove()
})

const runArgs = (prompt: string, budget = '2.00') => ['run', prompt, '--project', repository.path, '--provider', 'scripted', '--budget', budget]

/** A run whose second step is in the middle of its command. */
async function inCommand() {
  const following = place.start([...runArgs('Be cut in a command'), '--json'])
  const { run } = z.object({ run: Run }).parse(await following.record('created'))
  const client = await place.client()
  const isInCommand = async () =>
    (await client.eventPage({ run: run.id, after: '0-0', types: ['step.tool_started'] })).items.some(({ data }) => data['index'] === 2)
  await until('the command of the second step', isInCommand)
  return { following, run }
}

/** A run whose second step waits for its model. */
async function inCall() {
  gate = Promise.withResolvers<void>()
  const calls = model.calls().length
  const following = place.start([...runArgs('Be cut in a call'), '--json'])
  const { run } = z.object({ run: Run }).parse(await following.record('created'))
  await until('the held call', () =>
    model
      .calls()
      .slice(calls)
      .some(({ conversation, reply }) => conversation === HELD.conversation && reply === HELD.reply),
  )
  return { following, run }
}

/** Checks everything that is told of a run at rest against the ledger and against everything else, and answers its last record. */
async function addsUp(stdout: string): Promise<z.infer<typeof Result>> {
  const records = recordsOf(stdout)
  const result = Result.parse(records.at(-1))
  const { run, steps } = result
  const told = records.flatMap((record) => Told.safeParse(record).data ?? [])
  let spent = 0n
  for (const each of told) {
    spent += each.type === 'cost_changed' ? BigInt(each.change) : BigInt(each.step.cost) - BigInt(each.cost_before)
    assert.equal(each.spent, spent.toString(), JSON.stringify(told))
  }
  const client = await place.client()
  const [budget] = await client.budgets.list({ scope: 'run', scope_id: run.id }).take(1)
  const usage = (await client.usage.list({ run: run.id }).take(1000)).filter(({ resource }) => resource === 'money')
  const sums = [spent, sum(steps), sum(usage), BigInt(run.spent), BigInt(budget?.settled ?? -1)]
  assert.deepEqual(
    sums,
    sums.map(() => spent),
  )

  assert.ok(steps.every(({ outcome, ended_at }) => outcome !== null && ended_at !== null))
  const { machines } = await place.json(Ps, ['ps'])
  const listed = machines.find(({ id }) => id === run.machine_id)?.run
  assert.deepEqual([listed?.steps, listed?.spent], [run.steps, run.spent])
  assert.equal(run.steps, steps.length)
  const numbers = new Set(told.flatMap((each) => (each.type === 'cost_changed' ? [] : [each.step.index])))
  assert.equal(numbers.size, run.steps)

  const { stdout: shown } = await place.run(['attach', run.id])
  const interrupted = steps.filter(({ outcome }) => outcome === 'interrupted').length
  const lines = shown.split('\n').filter((line) => /^step \d+ /.test(line) && !/told before/.test(line))
  assert.deepEqual([lines.length, lines.filter((line) => line.includes('interrupted')).length], [run.steps, interrupted], shown)
  const counted = `${run.steps} step${run.steps === 1 ? '' : 's'}${interrupted > 0 ? ` (${interrupted} interrupted)` : ''}, `
  assert.ok(shown.includes(counted), shown)
  return result
}

const sum = (items: readonly { readonly cost: string }[]): bigint => items.reduce((total, { cost }) => total + BigInt(cost), 0n)
const outcomes = (steps: readonly Step[]): string[] => steps.map(({ index, outcome }) => `${index} ${outcome}`)

test('a machine that is stopped in the middle of a command shows the step as interrupted with what its call cost, and how to go on', async () => {
  const { following, run } = await inCommand()
  assert.equal((await place.run(['machine', 'stop', run.machine_name])).code, 0)
  const { code, stdout } = await following.ended
  assert.equal(code, 8, stdout)
  const { steps, next } = await addsUp(stdout)
  assert.deepEqual(outcomes(steps), ['1 finished', '2 interrupted'])
  assert.ok(BigInt(steps[1]?.cost ?? 0) > 0n)
  assert.deepEqual(
    next.slice(0, 2).map(({ command }) => command),
    [`autovibe machine start ${run.machine_name}`, `autovibe attach ${run.machine_name}`],
  )

  for (const { command } of next.slice(0, 1)) assert.equal((await place.run(command.split(' ').slice(1))).code, 0)
  const attached = await place.run(['attach', run.machine_name, '--json'])
  assert.equal(attached.code, 0, attached.stderr)
  const whole = await addsUp(attached.stdout)
  assert.deepEqual([whole.run.state, outcomes(whole.steps)], ['succeeded', ['1 finished', '2 interrupted', '3 finished']])
})

test('whoever follows a run over down and up is told of every cost once', async () => {
  const { following, run } = await inCommand()
  assert.equal((await place.run(['down'])).code, 0)
  assert.equal((await place.run(['up'])).code, 0)
  const { code, stdout } = await following.ended
  assert.equal(code, 0, stdout)
  assert.deepEqual(outcomes((await addsUp(stdout)).steps), ['1 finished', '2 interrupted', '3 finished'])
  assert.equal((await place.run(['attach', run.id])).code, 0)
})

test('a call whose Hub was killed is told at its bound, as part of the step that made it', async () => {
  const { following } = await inCall()
  const { pid } = JSON.parse(await readFile(join(place.dataDir, 'hub.json'), 'utf8')) as { pid: number }
  process.kill(pid, 'SIGKILL')
  await following.record('hub_lost')
  assert.equal((await place.run(['up'])).code, 0)
  gate?.resolve()
  const { code, stdout } = await following.ended
  assert.equal(code, 0, stdout)
  const { run, steps } = await addsUp(stdout)
  assert.deepEqual(outcomes(steps), ['1 finished', '2 finished', '3 finished'])
  const usage = await (await place.client()).usage.list({ run: run.id }).take(1000)
  const bound = usage.find(({ quality, resource }) => quality === 'estimated' && resource === 'money')
  assert.ok(bound && BigInt(steps[1]?.cost ?? 0) > BigInt(bound.cost), 'it carries the lost call and the one that was answered')
})

test('an agent that dies in the middle of a command leaves its step interrupted, with its cost', async () => {
  const { following, run } = await inCommand()
  const ofMachine = [...(await place.processes())].filter(([, command]) => command.includes(run.machine_id))
  assert.ok(ofMachine.length > 0)
  for (const [pid] of ofMachine) kill(pid)
  const { code, stdout } = await following.ended
  assert.equal(code, 1, stdout)
  const { run: ended, steps } = await addsUp(stdout)
  assert.deepEqual([ended.state, outcomes(steps)], ['failed', ['1 finished', '2 interrupted']])
})

test('a run that is out of money says so once, with one command that lets it go on', async () => {
  const forPeople = await place.run(runArgs('Be cut in a call', '0.005'))
  assert.equal(forPeople.code, 7, forPeople.stderr)
  const all = forPeople.stdout + forPeople.stderr
  assert.equal(all.match(/This needs up to/g)?.length, 1, all)
  assert.match(all, /‖ run paused: out of budget\n/)
  assert.equal(all.includes('bud_'), false, all)
  const [, command = ''] = /^Next: (autovibe budget set run_\w+ \d+\.\d\d)$/m.exec(all) ?? []

  const { stdout } = await place.run(['attach', '--json'])
  const { run, steps, refusal, next } = await addsUp(stdout)
  assert.deepEqual([steps.at(-1)?.outcome, steps.at(-1)?.cost], ['interrupted', '0'])
  assert.deepEqual([refusal?.fix, next[0]?.command, command], [command, command, command])
  assert.doesNotMatch(run.state_reason ?? '', /autovibe|bud_/)

  const raised = await place.run(command.split(' ').slice(1))
  assert.match(raised.stderr, /^The run goes on\.\nNext: autovibe attach \S+\n$/)
  const attached = await place.run(['attach', '--json'])
  assert.equal(attached.code, 0, attached.stderr)
  const whole = await addsUp(attached.stdout)
  assert.deepEqual([whole.run.id, whole.run.state, outcomes(whole.steps)], [run.id, 'succeeded', ['1 finished', '2 finished', '3 finished']])
})

const SetBudget = z.object({
  set: z.object({ kind: z.string(), id: z.string(), name: z.string() }),
  budget: Budget,
  also: Budget.nullable(),
  run: Run.nullable(),
})

test("a machine's name stands for the machine; its run follows, unless it was given less of its own", async () => {
  const { following, run } = await inCommand()
  const set = (ref: string, usd: string) => place.json(SetBudget, ['budget', 'set', ref, usd])
  const both = await set(run.machine_name, '3.00')
  assert.deepEqual([both.set, both.budget.scope], [{ kind: 'machine', id: run.machine_id, name: run.machine_name }, 'machine'])
  assert.deepEqual([both.budget.limit, both.also?.scope_id, both.also?.limit, both.run?.limit], ['3000000000', run.id, '3000000000', '3000000000'])

  const one = await set(run.id, '1.00')
  assert.deepEqual([one.set, one.budget.limit, one.also], [{ kind: 'run', id: run.id, name: run.machine_name }, '1000000000', null])
  const alone = await set(run.machine_id, '5.00')
  assert.deepEqual([alone.set.kind, alone.budget.limit, alone.also, alone.run?.limit], ['machine', '5000000000', null, '1000000000'])
  const more = await set(run.id, '9.00')
  assert.deepEqual([more.budget.limit, more.also?.scope_id, more.also?.limit], ['9000000000', run.machine_id, '9000000000'])

  const words = await place.run(['budget', 'set', run.machine_name, '9.5'])
  assert.match(
    words.stdout,
    new RegExp(`^✓ machine ${run.machine_name} \\(${run.machine_id}\\): limit \\$9\\.00 → \\$9\\.50; \\$0\\.\\d+ spent, \\$9\\.4\\d+ left\\.$`, 'm'),
  )
  assert.match(words.stdout, new RegExp(`^✓ its run ${run.id} with it: limit \\$9\\.50; `, 'm'))
  const shown = await place.json(z.object({ budgets: z.array(Budget) }), ['budget', 'show', run.machine_name])
  assert.deepEqual(
    shown.budgets.map(({ scope }) => scope),
    ['machine', 'run'],
  )
  assert.equal((await place.run(['machine', 'destroy', run.machine_name])).code, 0)
  await following.ended
})

test('a limit below what is spent is accepted, said to keep the run where it is, and raised again by the command that is told', async () => {
  const { following, run } = await inCall()
  const lower = () => place.run(['budget', 'set', run.id, '0.0001'])
  const atWork = await lower()
  assert.equal(atWork.code, 0)
  assert.match(atWork.stderr, /^! Already spent: \$0\.\d+, and \$\d\.\d+ held by model calls under way; the run is paused at its next model call, until /)
  assert.match(atWork.stdout, /above the limit\.$/m)

  gate?.resolve()
  const { code, stdout } = await following.ended
  assert.equal(code, 7, stdout)
  const { steps } = await addsUp(stdout)
  assert.deepEqual(outcomes(steps), ['1 finished', '2 finished', '3 interrupted'])

  const { stderr } = await lower()
  const [, command = ''] =
    /^! Already spent: \$0\.\d+; the run stays paused until the limit is above that\.\nNext: (autovibe budget set run_\w+ \d\.\d\d)\n$/.exec(stderr) ?? []
  assert.match((await place.run(command.split(' ').slice(1))).stderr, /^The run goes on\.$/m)
  const attached = await place.run(['attach', run.id, '--json'])
  assert.equal(attached.code, 0, attached.stderr)
  assert.deepEqual(outcomes((await addsUp(attached.stdout)).steps), ['1 finished', '2 finished', '3 finished'])
})

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    // It has ended with the one before.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
