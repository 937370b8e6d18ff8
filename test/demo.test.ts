/** The demo as a newcomer runs it: on a data directory that is not there yet, without a key, in both of its forms. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Checkpoint, CheckResult, Amount as Count, EXIT, Finding, Machine, Step, SubstrateTier } from '@autovibe/contract'
import { z } from 'zod'
import { makePlace, type Place, until } from './support/command.ts'

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
  const providers = await client.providers.list().take(10)
  assert.deepEqual(
    providers.map(({ name }) => name),
    ['anthropic'],
    'its own provider would lead to a server that is gone',
  )
  const operations = await client.operations.list().take(1000)
  assert.ok(operations.length > 5)
  assert.deepEqual(
    operations.filter(({ state }) => state !== 'done').map(({ kind, state }) => `${kind} ${state}`),
    [],
  )
  const processes = [...(await place.processes())]
  // What waits for the next machine is the Hub's own, and ends with it.
  const waiting = await readdir(join(place.dataDir, 'local', 'slots'))
  assert.deepEqual(
    processes.filter(([, command]) => /mch_/.test(command) && !waiting.some((slot) => command.includes(slot))),
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

  const [, rolledBack, forked] = /✓ Rolled (\S+) back(?:.|\n)*✓ Forked (\S+) from/.exec(stdout) ?? []
  assert.match(stdout, new RegExp(`^Removed +the machines ${rolledBack} and ${forked}, the repository, the scripted model and its provider`, 'm'))
  assert.match(stdout, new RegExp(`^Kept +the run .* ${place.dataDir}\\.$`, 'm'))
  assert.match(stdout, /^Running +the Hub, at http:\/\/127\.0\.0\.1:\d+\.$/m)
  const commands = nextOf(stderr)
  assert.ok(commands.length >= 4)
  assert.deepEqual(commands.at(-1), ['down', '--data-dir', place.dataDir])
  // What stands there is pasted anywhere: it names the data directory by itself.
  for (const args of commands.slice(0, -1)) {
    const pasted = await place.run(args, { env: { AUTOVIBE_DATA_DIR: '/nowhere' } })
    assert.equal(pasted.code, 0, `${args.join(' ')}\n${pasted.stderr}`)
    if (args[0] === 'diff' || args[0] === 'attach') assert.match(pasted.stdout, /birthdayHasCome|\+9 −1 in 2 files/)
  }
})

test('after the demo, diff and attach without a name show its change and say whose it is', async () => {
  const client = await place.client()
  const [run] = await client.runs.list().take(1)
  const diff = await place.run(['diff'])
  assert.match(diff.stdout, /^\+ {2}return birthdayHasCome/m)
  assert.match(diff.stderr, new RegExp(`^${run?.machine_name} \\(Make the failing test pass\\), destroyed since, as its run left it: ckp_`))
  const attached = await place.run(['attach'])
  assert.equal(attached.code, 0, attached.stderr)
  assert.match(attached.stdout, /^\+9 −1 in 2 files\. Your checkout is untouched\.$/m)
  assert.ok(attached.stderr.startsWith(`${run?.machine_name}: `) && attached.stderr.includes(`autovibe diff ${run?.id}`), attached.stderr)
})

test('what --keep keeps is named with the commands that remove it, and diff shows where a rolled back machine stands', async () => {
  const { code, stdout, stderr } = await place.run(['demo', '--keep'])
  assert.equal(code, 0, stderr)
  const [, rolledBack = '', first = '', forked = '', last = ''] = /✓ Rolled (\S+) back to (\w+)(?:.|\n)*✓ Forked (\S+) from (\w+)/.exec(stdout) ?? []
  assert.match(stdout, new RegExp(`^Kept +the machines ${rolledBack} and ${forked}, the repository \\S+demo-project, and the run `, 'm'))
  assert.match((await place.run(['diff', forked])).stdout, /^\+ {2}return birthdayHasCome/m)
  const diffOf = async (ref: string) => (await place.run(['diff', '--stat', ref])).stdout
  assert.equal(await diffOf(rolledBack), '')
  // A rollback saves what was there before, as the newest checkpoint: it is not where the machine stands.
  for (const to of [last, first, last]) {
    assert.equal((await place.run(['rollback', rolledBack, to])).code, 0)
    assert.equal((await diffOf(rolledBack)).includes('+9 −1 in 2 files'), to === last)
  }
  const nameless = await place.run(['diff', '--stat'])
  assert.match(nameless.stderr, new RegExp(`^${rolledBack} .* as it stands: ${last}`))
  assert.match(nameless.stdout, /\+9 −1 in 2 files/)

  const removing = nextOf(stderr).filter(([word]) => word === 'apply' || word === 'machine')
  assert.deepEqual(
    removing.map(([word]) => word),
    ['apply', 'machine', 'machine'],
  )
  for (const args of removing) assert.equal((await place.run(args)).code, 0, args.join(' '))
  const [, folder = ''] = /^ {2}rm -r (\S+)/m.exec(stderr) ?? []
  assert.ok(folder.startsWith(place.temporary), folder)
  await rm(folder, { recursive: true })
  assert.deepEqual(await (await place.client()).machines.list().take(10), [])
})

test('Ctrl-C in the middle of the demo takes away what it has made, and says what still runs', async () => {
  const client = await place.client()
  const demo = place.start(['demo'])
  await until('the machine of the demo', async () => (await client.machines.list().take(1)).length > 0)
  const { code, stderr } = await demo.signal('SIGINT')
  assert.equal(code, EXIT.interrupted, stderr)
  assert.match(stderr, /^Interrupted: what the demo has made is being taken away\. Ctrl-C again /m)
  assert.match(stderr, /^Everything that the demo had made was taken away again\.\nThe Hub still runs, at \S+; to stop it:\n +autovibe down --data-dir /m)
  assert.deepEqual(await client.machines.list().take(10), [])
  assert.equal((await client.providers.list().take(10)).length, 1)
  assert.deepEqual(await readdir(place.temporary), [])
  assert.equal((await client.operations.list().take(1000)).filter(({ ended_at }) => ended_at === null).length, 0)
})

test('what cannot be taken away, because the Hub has died, is named with the command that removes it', async () => {
  const client = await place.client()
  const demo = place.start(['demo'])
  const machine = await until('the machine of the demo', async () => (await client.machines.list().take(1))[0])
  const { pid } = JSON.parse(await readFile(join(place.dataDir, 'hub.json'), 'utf8')) as { pid: number }
  process.kill(pid, 'SIGKILL')
  const { code, stderr } = await demo.signal('SIGINT')
  assert.equal(code, EXIT.interrupted, stderr)
  assert.match(stderr, /^! Not taken away: /m)
  assert.match(stderr, new RegExp(`^Left of the demo:\\n +the machine ${machine.name}; to remove it:\\n +autovibe machine destroy ${machine.name} `, 'm'))
  const [, provider = ''] = /autovibe provider remove (demo-[0-9a-f]{6}) /.exec(stderr) ?? []
  assert.deepEqual(await readdir(place.temporary), [])

  const Up = z.object({ pid: z.int() })
  hubPid = (await place.json(Up, ['up'])).pid
  const { findings } = await place.json(z.object({ findings: z.array(Finding) }), ['doctor'])
  const dead = findings.find(({ area, name }) => area === 'provider' && name === provider)
  assert.deepEqual([dead?.status, dead?.fix?.includes(`autovibe provider remove ${provider}`)], ['warning', true])
  assert.match(dead?.detail ?? '', /^anthropic wire, http:\/\/127\.0\.0\.1:\d+, key stored, simulated, .*nothing listens there/)
  for (const args of [
    ['machine', 'destroy', machine.name],
    ['provider', 'remove', provider],
  ])
    assert.equal((await place.run(args)).code, 0, args.join(' '))
})

test('Ctrl-C while the Hub of the demo is still starting ends the Hub and its database too, and says so', async () => {
  const fresh = await makePlace()
  try {
    const demo = fresh.start(['demo'])
    await until('the beginning of a database', () => existsSync(join(fresh.dataDir, 'postgres')))
    const { code, stdout, stderr } = await demo.signal('SIGINT')
    assert.deepEqual([code, stdout], [EXIT.interrupted, ''])
    assert.match(stderr, /^Interrupted while the Hub was starting: it was ended again\. There is nothing of the demo but the data directory /)
    assert.deepEqual([...(await fresh.processes())], [])
    assert.deepEqual(await readdir(fresh.temporary), [])
  } finally {
    await fresh.remove()
  }
})

test('the demos after the first used the same Hub, and down leaves no process behind', async () => {
  assert.ok((await place.processes()).has(hubPid))
  await place.json(z.object({ data_dir: z.literal(place.dataDir), stopped: z.literal(true), purged: z.literal(false) }), ['down'])
  assert.deepEqual([...(await place.processes())], [])
})

/** The commands of ours that stand below `Next:`, as their arguments. */
function nextOf(stderr: string): string[][] {
  const [, after = ''] = stderr.split('Next:\n')
  const [block = ''] = after.split('\nWith a repository of yours:')
  return block.split('\n').flatMap((line) => {
    const [command = ''] = line.split(' # ')
    const [name, ...args] = command.trim().split(/ +/)
    return name === 'autovibe' ? [args] : []
  })
}
