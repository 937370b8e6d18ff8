/** The demo as a newcomer runs it: on a data directory that is not there yet, without a key, in both of its forms. */
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { Checkpoint, CheckResult, Amount as Count, Machine, Step, SubstrateTier } from '@autovibe/contract'
import { z } from 'zod'
import { makePlace, type Place } from './support/command.ts'

const Restored = z.object({ checkpoint_id: Checkpoint.shape.id, machine: Machine.shape.name, identical: z.boolean(), differing_files: z.int() })
const Closing = z.strictObject({
  durations_ms: z.record(z.string(), z.int()),
  isolation: SubstrateTier,
  simulated: z.literal(true),
  model: z.string(),
  machine: Machine.shape.name,
  run_id: z.string(),
  steps: z.array(Step),
  costs: z.object({ spent: Count, limit: Count, left: Count, simulated: z.literal(true), by_step: z.array(z.object({ index: z.int(), cost: Count })) }),
  checkpoints: z.array(Checkpoint),
  check: CheckResult,
  diff: z.object({ files: z.int(), added_lines: z.int(), removed_lines: z.int() }),
  rollback: Restored,
  fork: Restored,
})

let place: Place
let hubPid: number

before(async () => {
  place = await makePlace()
})
after(() => place.remove())

test('the demo on a new data directory proves in one JSON document what it promises', async () => {
  const closing = await place.json(Closing, ['demo'])
  const { steps, costs, checkpoints, check, rollback, fork } = closing

  assert.ok(steps.length >= 5, `${steps.length} steps`)
  for (const step of steps) {
    assert.ok(BigInt(step.cost) > 0n && BigInt(step.output_tokens) > 0n, JSON.stringify(step))
    assert.ok(BigInt(step.input_tokens) + BigInt(step.cache_read_tokens) + BigInt(step.cache_write_tokens) > 0n, JSON.stringify(step))
  }
  assert.ok(steps.some(({ tools }) => tools.some(({ name }) => name === 'edit_file')))
  const tests = steps.flatMap(({ tools }) => tools.filter(({ name, summary }) => name === 'shell' && summary.includes('npm test')))
  assert.deepEqual([tests[0]?.is_error, tests.at(-1)?.is_error], [true, false], 'the tests ran for real: red before the change, green after it')

  assert.equal(BigInt(costs.spent) + BigInt(costs.left), BigInt(costs.limit))
  const sum = steps.reduce((total, { cost }) => total + BigInt(cost), 0n)
  assert.equal(sum, BigInt(costs.spent))
  assert.deepEqual(
    costs.by_step,
    steps.map(({ index, cost }) => ({ index, cost })),
  )
  assert.equal(check.exit_code, 0, check.output)
  assert.match(check.output, /pass 4/)

  assert.ok(checkpoints.length >= 3, `${checkpoints.length} checkpoints`)
  for (const { id, state, files } of checkpoints) assert.ok(state === 'verified' && (files ?? 0) > 0, `${id} ${state}`)
  assert.ok(closing.diff.files >= 1 && closing.diff.added_lines >= 1)
  assert.deepEqual([rollback.identical, fork.identical, rollback.machine], [true, true, closing.machine])
  assert.notEqual(fork.machine, rollback.machine)
  assert.notEqual(fork.checkpoint_id, rollback.checkpoint_id)
  assert.match(closing.isolation.isolation, /^I[0-3]$/)

  // The same, asked behind the demo's back.
  const client = await place.client()
  const run = await client.runs.get(closing.run_id)
  const [budget] = await client.budgets.list({ scope: 'run', scope_id: run.id }).take(2)
  const usage = await client.usage.list({ run: run.id }).take(1000)
  const billed = usage.reduce((total, { cost }) => total + BigInt(cost), 0n)
  assert.deepEqual([run.state, run.spent, budget?.settled, billed.toString()], ['succeeded', costs.spent, costs.spent, costs.spent])
  for (const { id } of checkpoints) assert.equal((await client.checkpoints.get(id)).state, 'verified')
})

test('after the demo only the Hub and its database are left: no machine, no open operation, no temporary file', async () => {
  const client = await place.client()
  assert.deepEqual(await client.machines.list().take(10), [])
  const operations = await client.operations.list().take(1000)
  assert.ok(operations.length > 5)
  assert.deepEqual(
    operations.filter(({ state }) => state !== 'done').map(({ kind, state }) => `${kind} ${state}`),
    [],
  )
  const processes = [...(await place.processes())]
  assert.deepEqual(
    processes.filter(([, command]) => /mch_/.test(command)),
    [],
  )
  hubPid = processes.find(([, command]) => command.includes('hub/main.ts'))?.[0] ?? 0
  assert.ok(hubPid > 0)
  assert.deepEqual(await readdir(place.temporary), [])
})

test('the demo for people tells each of its parts, names the isolation, and says that the model is scripted', async () => {
  const { code, stdout, stderr } = await place.run(['demo'])
  assert.equal(code, 0, stderr)
  const { tier } = await (await place.client()).hub.info()
  const order = [
    /The model is scripted: no key is needed/,
    /costs are simulated/,
    /Hub http:\/\/127\.0\.0\.1:\d+ runs already/,
    new RegExp(`Isolation +${tier.substrate} ${tier.isolation}: `),
    new RegExp(`${tier.copy}: `),
    /✓ A git repository with a failing test, imported at [0-9a-f]{12}/,
    /Prompt {2}Make the failing test pass +budget \$1\.00, check: npm test/,
    /✓ spawn-machine: create/,
    /step 1 {2}claude-sonnet-5 {2}[\d,]+ in, [\d,]+ out {2}\$0\.\d+/,
    /✗ shell npm test/,
    /✓ edit_file src\/age\.js/,
    /● checkpoint ckp_\w+ files-changed verified/,
    /✓ check npm test passed/,
    /✓ run succeeded/,
    /^\+ {2}return birthdayHasCome/m,
    /tests green; \$0\.\d+ spent \(simulated\), \$0\.\d+ of \$1\.00 left/,
    /✓ Rolled \S+ back to ckp_\w+: its files are exactly what they were/,
    /✓ Forked \S+ from ckp_\w+: the change is there again/,
  ]
  let at = 0
  for (const pattern of order) {
    const found = stdout.slice(at).search(pattern)
    assert.ok(found >= 0, `${pattern} stands in its place in:\n${stdout}`)
    at += found
  }
  assert.equal(stdout.includes('\u001b'), false, 'no colours where no terminal is')
  assert.match(stderr, /^Next:\n {2}autovibe checkpoint list/m)
  assert.match(stderr, /autovibe run "PROMPT" --project PATH --budget/)
  assert.deepEqual(await readdir(place.temporary), [])
})

test('the second demo used the same Hub, and down leaves no process behind', async () => {
  assert.ok((await place.processes()).has(hubPid))
  await place.json(z.object({ data_dir: z.literal(place.dataDir), stopped: z.literal(true), purged: z.literal(false) }), ['down'])
  assert.deepEqual([...(await place.processes())], [])
})
