/** What a machine may take, with the real command, the real Hub and the real agent: whatever reaches a limit ends with its reason, and nothing else suffers. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { HubInfo, LimitsProposal, Machine, type MachineLimits, ProjectSettings, Run } from '@autovibe/contract'
import { z } from 'zod'
import { type Place, recordsOf, until } from './support/command.ts'
import type { Repository } from './support/demo-project.ts'
import { openScriptedPlace, type ScriptedPlace } from './support/scripted-place.ts'

const BOMBS = {
  memory: `node -e 'const all = []; while (all.length < 300) all.push(Buffer.alloc(1048576, 1)); setInterval(() => all, 1e6)'`,
  processes: 'for i in $(seq 1 200); do sleep 1000 & done; wait',
  'one huge file': 'dd if=/dev/zero of=huge bs=1M count=100; sleep 1000',
  'many small files': 'mkdir many; for i in $(seq 1 4000); do head -c 20000 /dev/zero > many/$i; done; sleep 1000',
  time: 'sleep 1000',
}
const conversation = (name: string, command: string) => `
  - match: "Bomb: ${name}"
    replies:
      - { text: Now., tools: [{ name: shell, input: { command: ${JSON.stringify(command)}, timeout_seconds: 600 } }] }
      - { text: It is over. }`
const SCRIPT = `
conversations:${Object.entries(BOMBS)
  .map(([name, command]) => conversation(name, command))
  .join('')}
  - match: Work on
    replies:
      - { text: Working., tools: [{ name: shell, input: { command: "i=0; while [ ! -e /machine/project/stop ]; do i=$((i+1)); sleep 0.05; done; echo $i > rounds", timeout_seconds: 600 } }] }
      - { text: Done. }
  - match: Look
    replies:
      - { text: Seen. }
  - match: Burn
    replies:
      - { text: Burning., tools: [{ name: shell, input: { command: "i=0; while [ $i -lt 1500000 ]; do i=$((i+1)); done", timeout_seconds: 600 } }] }
      - { text: Burnt. }
`

const Created = z.object({ run: Run })
const Shown = z.object({ machine: Machine, run: Run.nullable() })

let scripted: ScriptedPlace
let place: Place
let repository: Repository
let neighbour: Run

before(async () => {
  scripted = await openScriptedPlace({ name: 'bombs.yaml', text: SCRIPT })
  ;({ place, repository } = scripted)
  neighbour = await start('Work on')
})
after(() => scripted.close())

async function start(prompt: string, ...more: string[]): Promise<Run> {
  const args = ['run', prompt, '--project', repository.path, '--name', 'shop', '--provider', 'scripted', '--budget', '1', '--detach', ...more]
  const result = await place.run([...args, '--json'])
  assert.equal(result.code, 0, result.stderr)
  return Created.parse(recordsOf(result.stdout).find(({ type }) => type === 'created')).run
}

async function ended(id: Run['id']): Promise<Run> {
  const client = await place.client()
  let run = await client.runs.get(id)
  await until('the end of the run', async () => {
    run = await client.runs.get(id)
    return run.ended_at !== null
  })
  return run
}

for (const [name, options, reason, raise] of [
  ['memory', ['--memory', '128MiB'], /^memory: 128\.0 MiB limit reached \((out-of-memory kill|about \d.* in use)\)/, '--memory 256MiB'],
  ['processes', ['--processes', '64'], /^processes: limit of 64 reached/, '--processes 128'],
  ['one huge file', ['--disk', '50MiB'], /^disk: 50\.0 MiB limit reached \(5\d\.\d MiB in use\)/, '--disk '],
  ['many small files', ['--disk', '50MiB'], /^disk: 50\.0 MiB limit reached \(\d+\.\d MiB in use\)/, '--disk '],
  ['time', ['--wall', '3s'], /^wall time: 3 s limit reached \(at work for \d+ s\)/, '--wall 1min'],
] as const)
  test(`a run that reaches the limit by ${name} fails with the reason, its machine is kept, and the neighbour works on`, async () => {
    const begun = await start(`Bomb: ${name}`, ...options)
    const run = await ended(begun.id)
    assert.equal(run.state, 'failed')
    assert.match(run.state_reason ?? '', reason)
    assert.ok(run.state_reason?.includes(`. Raise it: autovibe machine limits ${run.machine_name} ${raise}`), run.state_reason ?? '')
    const client = await place.client()
    const events = (await client.eventPage({ machine: run.machine_id, after: '0-0', types: ['machine.limit_reached'] })).items
    assert.deepEqual(
      events.map(({ run_id, data }) => [run_id, run.state_reason?.startsWith(String(data['sentence']))]),
      [[run.id, true]],
    )
    const { machine } = await place.json(Shown, ['machine', 'show', run.machine_name])
    assert.deepEqual([machine.state, machine.state_reason], ['failed', run.state_reason])
    assert.equal((await client.runs.get(neighbour.id)).state, 'running')
    assert.equal((await place.run(['machine', 'destroy', run.machine_name])).code, 0)
  })

test('a machine that has reached a limit is started again when that is raised, and takes another run', async () => {
  const run = await ended((await start('Bomb: processes', '--processes', '64')).id)
  const raised = await place.run(['machine', 'limits', run.machine_name, '--processes', '1024'])
  assert.match(raised.stdout, /^✓ .* may take .*, 1024 processes, /)
  assert.equal((await place.run(['machine', 'start', run.machine_name])).code, 0)
  const again = await place.run(['run', 'Burn', '--machine', run.machine_name, '--budget', '1'])
  assert.equal(again.code, 0, again.stdout + again.stderr)
  assert.equal((await place.run(['machine', 'destroy', run.machine_name])).code, 0)
})

test('what a run used is in the ledger once, by the Hub’s own measure, and not by the word of its machine', async () => {
  const begun = await start('Burn')
  const run = await ended(begun.id)
  assert.equal(run.state, 'succeeded')
  const client = await place.client()
  assert.ok(run.started_at !== null && run.ended_at !== null)
  const wallSeconds = (Date.parse(run.ended_at) - Date.parse(run.started_at)) / 1000
  let used: { resource: string; amount: bigint; service: unknown }[] = []
  const sum = (resource: string) => used.filter((each) => each.resource === resource).reduce((total, { amount }) => total + Number(amount), 0)
  await until('all of its charges', async () => {
    const events = await client.usage.list({ run: run.id }).take(100)
    used = events
      .filter(({ resource }) => resource === 'cpu_seconds' || resource === 'wall_seconds')
      .map((each) => ({ resource: each.resource, amount: BigInt(each.amount), service: each.detail['service'] }))
    return used.some(({ resource }) => resource === 'cpu_seconds') && sum('wall_seconds') >= wallSeconds - 1
  })
  assert.deepEqual([...new Set(used.map(({ service }) => service))], ['meter'])
  assert.ok(Math.abs(sum('wall_seconds') - wallSeconds) <= 1, `${sum('wall_seconds')} of ${wallSeconds}`)
  const { machine } = await place.json(Shown, ['machine', 'show', run.machine_name])
  assert.ok(machine.use !== null && machine.use.peak_memory_bytes > 0)
  assert.equal((await place.run(['machine', 'destroy', run.machine_name])).code, 0)
})

test('limits come from the run, the project and the host, in this order, and a fork has those of its origin', async () => {
  const { default_limits } = await (await place.client()).hub.info()
  const Settings = z.object({ settings: ProjectSettings, default_limits: HubInfo.shape.default_limits })
  const set = await place.json(Settings, ['project', 'limits', 'shop', '--memory', '1GiB', '--processes', '300'])
  assert.deepEqual(set.settings.limits, { memory_bytes: 1024 ** 3, processes: 300 })
  const run = await ended((await start('Look', '--processes', '200', '--cores', '0.5')).id)
  const limits = { ...default_limits, memory_bytes: 1024 ** 3, processes: 200, cores: 0.5 }
  const client = await place.client()
  assert.deepEqual((await client.machines.get(run.machine_id)).limits, limits satisfies MachineLimits)
  assert.match((await place.run(['machine', 'limits', run.machine_name])).stdout, /may take 0\.5 cores, 1\.0 GiB of memory, 200 processes, /)
  const { checkpoint } = await client.machines.checkpoint(run.machine_id)
  await until('the checkpoint', async () => (await client.checkpoints.get(checkpoint.id)).state === 'verified')
  const forked = await client.checkpoints.fork(checkpoint.id, {})
  assert.deepEqual((await client.machines.get(forked.machine_id)).limits, limits)
  assert.deepEqual((await place.json(Settings, ['project', 'limits', 'shop', '--none'])).settings.limits, {})
  // Short runs are too little to go by; that they were seen is told.
  assert.match((await place.run(['project', 'limits', 'shop', '--propose'])).stdout, /^project shop: too little was seen yet to propose limits \(\d+ runs?, /)
  assert.equal((await place.json(LimitsProposal, ['project', 'limits', 'shop', '--propose'])).proposal, null)
  assert.equal((await place.run(['project', 'limits', 'shop', '--propose', '--cores', '1'])).code, 2)
})

test('what is no limit is refused before anything begins', async () => {
  for (const args of [
    ['--memory', '2 apples'],
    ['--memory', '1MiB'],
    ['--cores', 'many'],
    ['--processes', '3'],
    ['--wall', '0s'],
    ['--disk', '1B'],
  ]) {
    const refused = await place.refusal(['machine', 'limits', 'nobody', ...args])
    assert.deepEqual([refused.code, refused.exit], ['request.invalid', 2])
    assert.ok(refused.detail.includes(args[0] ?? ''), refused.detail)
  }
  const kept = await place.refusal(['run', 'Work on', '--machine', neighbour.machine_name, '--budget', '1', '--memory', '1GiB'])
  assert.equal(kept.code, 'request.invalid')
})
