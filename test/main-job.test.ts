/** The main job on a real repository: a prompt in, a checked change out, and everything that one does with it then. */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Budget, Checkpoint, CheckpointDiff, Event, Finding, LedgerEntry, Machine, Operation, Provider, Run } from '@autovibe/contract'
import { type ScriptedModel, startScriptedModel } from '@autovibe/scripted-model'
import { z } from 'zod'
import { makePlace, type Place, recordsOf } from './support/command.ts'
import { demoRepository, type Repository } from './support/demo-project.ts'
import { RunRecord } from './support/run-records.ts'
import { fingerprint } from './support/untouched.ts'

const SCRIPT = fileURLToPath(new URL('../packages/scripted-model/scripts/demo.yaml', import.meta.url))
const PROMPT = 'Make the failing test pass'
const MachineChange = z.object({ machine: Machine, operation_id: Operation.shape.id })
const AppliedFiles = z.array(z.object({ path: z.string(), result: z.string() }))

type Result = Extract<z.infer<typeof RunRecord>, { type: 'result' }>

let place: Place
let model: ScriptedModel
let repository: Repository
let result: Result
let changed: string[]

before(async () => {
  place = await makePlace()
  model = await startScriptedModel({ script: SCRIPT })
  repository = await demoRepository()
  // Work of the user's own, half of it staged: none of it may be lost or moved.
  await writeFile(join(repository.path, 'notes.txt'), 'mine\n')
  await writeFile(join(repository.path, 'README.md'), 'not committed\n')
  await repository.git('add', 'notes.txt')
  await place.json(z.object({ url: z.url(), pid: z.int(), tier: z.object({}), already: z.literal(false), started_ms: z.int() }), ['up'])
})
after(async () => {
  await place.remove()
  await model.close()
  await repository.remove()
})

test('a provider is set with its key on standard input, and the key is shown nowhere', async () => {
  const args = ['provider', 'set', 'scripted', '--base-url', model.url, '--default-model', 'claude-sonnet-5', '--simulated', '--key-stdin']
  const { provider } = await place.json(z.object({ provider: Provider }), args, { input: 'sk-very-secret\n' })
  assert.deepEqual([provider.name, provider.base_url, provider.has_key, provider.simulated], ['scripted', model.url, true, true])
  const { stdout } = await place.run(['provider', 'list'])
  assert.match(stdout, /scripted +anthropic +yes +claude-sonnet-5 +simulated/)
  assert.equal(stdout.includes('sk-very-secret'), false)
})

test('a run brings a checked change out while the repository, its .git included, is not touched', async () => {
  const before = await fingerprint(repository.path)
  const args = ['run', PROMPT, '--project', repository.path, '--provider', 'scripted', '--budget', '2.00', '--check', 'npm test', '--json']
  const { code, stdout, stderr } = await place.run(args)
  assert.deepEqual([code, stderr], [0, ''], stdout)
  assert.deepEqual(await fingerprint(repository.path), before)

  const records = recordsOf(stdout).map((record) => RunRecord.parse(record))
  assert.deepEqual([records[0]?.type, records[1]?.type, records.at(-1)?.type], ['imported', 'created', 'result'])
  const spawn = records.flatMap((record) => (record.type === 'operation_step' ? [`${record.name} ${record.state}`] : []))
  assert.deepEqual(
    spawn,
    ['reserve', 'place', 'create', 'boot', 'start', 'registered', 'run'].map((name) => `${name} done`),
  )
  result = records.at(-1) as Result
  const { run, steps, checkpoints } = result
  assert.deepEqual([run.state, run.check_result?.exit_code, run.steps, run.limit], ['succeeded', 0, steps.length, '2000000000'])
  assert.equal(steps.reduce((sum, { cost }) => sum + BigInt(cost), 0n).toString(), run.spent)
  assert.equal(records.filter(({ type }) => type === 'step_finished').length, steps.length)
  assert.equal(records.filter(({ type }) => type === 'checkpoint').length, checkpoints.length)
  assert.deepEqual([...new Set(checkpoints.map(({ state }) => state))], ['verified'])
  assert.deepEqual(result.diff?.files, 2)
  assert.ok(result.next.some(({ command }) => command === `autovibe apply ${run.machine_name} --project ${repository.path}`))
  assert.deepEqual(
    model.calls().filter(({ outcome }) => outcome !== 'answered'),
    [],
  )
})

test('ps, logs and attach tell of the run what the Hub knows', async () => {
  const { run } = result
  const Ps = z.object({ machines: z.array(Machine.extend({ project: z.string(), run: Run.nullable() })) })
  const { machines } = await place.json(Ps, ['ps'])
  assert.deepEqual(
    machines.map((machine) => [machine.name, machine.state, machine.run?.id, machine.run?.spent]),
    [[run.machine_name, 'ready', run.id, run.spent]],
  )
  assert.match((await place.run(['ps'])).stdout, new RegExp(`^${run.machine_name} .* succeeded +\\$0\\.\\d+/\\$2\\.00`, 'm'))

  const logs = await place.run(['logs', run.id, '--json'])
  const events = recordsOf(logs.stdout).map((record) => Event.parse(record))
  assert.equal(logs.code, 0)
  assert.ok(events.every(({ run_id }) => run_id === run.id))
  for (const type of ['run.created', 'run.state_changed', 'step.finished', 'checkpoint.state_changed', 'run.check_finished'])
    assert.ok(
      events.some((event) => event.type === type),
      type,
    )
  assert.ok((await place.run(['logs', run.machine_name])).stdout.split('\n').length > events.length)

  const attached = await place.run(['attach', run.machine_name, '--json'])
  assert.equal(attached.code, 0, attached.stderr)
  // Where the checkout is, only whoever began the run has said.
  const elsewhere = JSON.stringify(result).replaceAll(` --project ${repository.path}`, '')
  assert.deepEqual(recordsOf(attached.stdout).at(-1), JSON.parse(elsewhere))
})

test('diff prints a patch that git applies, and the same as a document', async () => {
  const document = await place.json(CheckpointDiff, ['diff', result.run.machine_name])
  changed = document.files.map(({ path }) => path)
  assert.deepEqual(changed, ['src/age.js', 'test/age.test.js'])
  assert.equal(document.source_base_commit, await repository.git('rev-parse', 'HEAD'))
  const { stdout } = await place.run(['diff', result.run.machine_name])
  assert.ok(document.files.every(({ patch }) => patch !== null && stdout.includes(patch)))
  const patch = join(place.folder, 'change.patch')
  await writeFile(patch, stdout)
  assert.equal(await repository.git('apply', '--check', patch), '')
  assert.match((await place.run(['diff', '--stat'])).stdout, /src\/age\.js/)
})

test('apply --branch makes a commit on the imported commit and leaves work tree, index and HEAD as they were', async () => {
  const head = await repository.git('rev-parse', 'HEAD')
  const before = await withoutGit()
  const index = await readFile(join(repository.path, '.git', 'index'))
  const Applied = z.object({
    branch: z.literal('by-machine'),
    commit: z.string(),
    base: z.literal(head),
    files: AppliedFiles,
    checkpoint_id: Checkpoint.shape.id,
  })
  const { commit, files } = await place.json(Applied, ['apply', '--project', repository.path, '--branch', 'by-machine', '--message', 'Count years right'])
  assert.deepEqual(
    files.map(({ path }) => path),
    changed,
  )
  assert.deepEqual(await withoutGit(), before)
  assert.deepEqual(await readFile(join(repository.path, '.git', 'index')), index)
  assert.equal(await repository.git('rev-parse', 'HEAD'), head)
  assert.equal(await repository.git('rev-parse', 'by-machine', 'by-machine^'), `${commit}\n${head}`)
  assert.equal(await repository.git('diff', '--name-only', 'main', 'by-machine'), changed.join('\n'))
  assert.match(await repository.git('log', '-1', '--format=%B', 'by-machine'), /^Count years right\n\nAutovibe-Checkpoint: ckp_/)
})

test('apply changes exactly the files that the machine changed, to what they are there, and stages nothing', async () => {
  const before = new Map((await withoutGit()).map((line) => [line.split(' ')[0] ?? '', line]))
  const index = await readFile(join(repository.path, '.git', 'index'))
  const Applied = z.object({ branch: z.null(), files: AppliedFiles, machine: z.literal(result.run.machine_name) })
  const { files } = await place.json(Applied, ['apply', result.run.machine_name, '--project', repository.path])
  assert.deepEqual(
    files.map(({ path, result: outcome }) => `${path} ${outcome}`),
    changed.map((path) => `${path} changed`),
  )
  assert.deepEqual(await readFile(join(repository.path, '.git', 'index')), index)
  const touched = (await withoutGit()).filter((line) => before.get(line.split(' ')[0] ?? '') !== line).map((line) => line.split(' ')[0] ?? '')
  assert.deepEqual(
    touched.filter((path) => /\.\w+$/.test(path)),
    changed,
  )
  const client = await place.client()
  for (const path of changed) {
    const chunks = await Array.fromAsync(await client.checkpoints.content(result.run.checkpoint_id ?? '', `project/${path}`))
    assert.deepEqual(await readFile(join(repository.path, path)), Buffer.concat(chunks), path)
  }
  assert.equal(await repository.git('diff', '--cached', '--name-only'), 'notes.txt')
  assert.match((await place.run(['apply', '--project', repository.path])).stdout, /The checkout has all of it already/)
})

test('checkpoint, fork and rollback bring back the files of their moment', async () => {
  const { run, checkpoints } = result
  const Created = z.object({ checkpoint: Checkpoint, operation_id: Operation.shape.id })
  const { checkpoint } = await place.json(Created, ['checkpoint', 'create', run.machine_name, '--label', 'good'])
  assert.deepEqual([checkpoint.state, checkpoint.label, checkpoint.trigger], ['verified', 'good', 'demand'])
  const shown = await place.json(z.object({ checkpoint: Checkpoint }), ['checkpoint', 'show', checkpoint.id])
  assert.deepEqual(shown.checkpoint, checkpoint)

  const forked = await place.json(MachineChange.extend({ checkpoint_id: z.literal(checkpoint.id) }), ['fork', checkpoint.id, '--name', 'second'])
  assert.deepEqual([forked.machine.name, forked.machine.state, forked.machine.parent_checkpoint_id], ['second', 'ready', checkpoint.id])
  assert.deepEqual(await differing('second', checkpoint.id), [])

  const first = [...checkpoints].sort((a, b) => (a.id < b.id ? -1 : 1))[0]
  assert.equal(first?.trigger, 'start')
  const back = await place.json(MachineChange, ['rollback', run.machine_name, first?.id ?? ''])
  assert.deepEqual([back.machine.name, back.machine.state], [run.machine_name, 'ready'])
  assert.deepEqual(await differing(run.machine_name, first?.id ?? ''), [])
  assert.deepEqual(await differing('second', checkpoint.id), [], 'the fork was left alone')

  const listed = await place.json(z.object({ checkpoints: z.array(Checkpoint) }), ['checkpoint', 'list'])
  assert.ok(listed.checkpoints.length >= checkpoints.length + 4)
  assert.match((await place.run(['checkpoint', 'list', run.machine_name])).stdout, new RegExp(`${checkpoint.id} .* verified .* good$`, 'm'))
})

test('budgets are shown, raised and accounted for entry by entry', async () => {
  const { run } = result
  const shown = await place.json(z.object({ budgets: z.array(Budget) }), ['budget', 'show', run.id])
  assert.deepEqual(
    shown.budgets.map(({ scope, settled, reserved, limit }) => [scope, settled, reserved, limit]),
    [['run', run.spent, '0', '2000000000']],
  )
  const { entries } = await place.json(z.object({ budget: Budget, entries: z.array(LedgerEntry) }), ['budget', 'ledger', run.id])
  assert.equal(entries.reduce((sum, entry) => sum + BigInt(entry.settled_delta), 0n).toString(), run.spent)
  assert.equal(
    entries.reduce((sum, entry) => sum + BigInt(entry.reserved_delta), 0n),
    0n,
  )
  const { budget } = await place.json(z.object({ budget: Budget }), ['budget', 'set', 'second', '7.5'])
  assert.deepEqual([budget.scope, budget.limit], ['machine', '7500000000'])
  const refused = await place.refusal(['budget', 'set', 'second', 'much'])
  assert.deepEqual([refused.code, refused.exit], ['request.invalid', 2])
  assert.match((await place.run(['budget', 'show'])).stdout, /machine second +\S+ +\$7\.50 .* mch_\w+$/m)
})

test('a machine is stopped, started and destroyed, and its processes follow', async () => {
  // One that was booted in advance carries the name of its slot.
  const markOf = (id: string) => readFile(join(place.dataDir, 'local', 'machines', id, 'slot'), 'utf8').catch(() => id)
  const processes = async (id: string) => {
    const mark = await markOf(id)
    return [...(await place.processes()).values()].filter((command) => command.includes(mark)).length
  }
  const client = await place.client()
  const { id } = await client.machines.get('second')
  assert.ok((await processes(id)) > 0)
  assert.equal((await place.json(MachineChange, ['machine', 'stop', 'second'])).machine.state, 'stopped')
  assert.equal(await processes(id), 0)
  assert.equal((await place.json(MachineChange, ['machine', 'start', 'second'])).machine.state, 'ready')
  assert.ok((await processes(id)) > 0)
  const { machine, operation_id } = await place.json(MachineChange, ['machine', 'destroy', 'second'])
  assert.equal(machine.state, 'destroyed')
  assert.equal(await processes(id), 0)
  const gone = await place.refusal(['machine', 'start', 'second'])
  assert.deepEqual([gone.code, gone.exit], ['not_found', 5])

  const { operation } = await place.json(z.object({ operation: Operation }), ['operation', 'show', operation_id])
  assert.deepEqual([operation.kind, operation.state, operation.machine_id], ['destroy-machine', 'done', id])
  assert.match((await place.run(['operation', 'show', operation_id])).stdout, /✓ \w+/)
  const { operations } = await place.json(z.object({ operations: z.array(Operation) }), ['operation', 'list'])
  for (const kind of ['spawn-machine', 'store-checkpoint', 'fork-checkpoint', 'rollback-machine', 'stop-machine', 'start-machine', 'destroy-machine'])
    assert.ok(
      operations.some((each) => each.kind === kind && each.state === 'done'),
      kind,
    )
  assert.deepEqual((await place.json(z.object({ operations: z.array(Operation) }), ['operation', 'list', '--state', 'stuck'])).operations, [])
})

test('doctor finds all well and names the isolation', async () => {
  const { findings, ok } = await place.json(z.object({ findings: z.array(Finding), ok: z.boolean() }), ['doctor'])
  assert.equal(ok, true)
  const { tier } = await (await place.client()).hub.info()
  assert.ok(findings.some(({ area, name, detail }) => area === 'hub' && name === 'isolation' && detail.includes(tier.isolation)))
})

test("--include-dirty brings uncommitted work along and still touches nothing, and apply leaves that work the user's", async () => {
  await repository.git('checkout', '-q', '--', 'src', 'test')
  const before = await fingerprint(repository.path)
  const args = ['run', PROMPT, '--project', repository.path, '--provider', 'scripted', '--budget', '2', '--include-dirty', '--name', 'dirty', '--json']
  const { code, stdout, stderr } = await place.run(args)
  assert.deepEqual([code, stderr], [0, ''])
  assert.deepEqual(await fingerprint(repository.path), before)
  const { run, diff } = RunRecord.parse(recordsOf(stdout).at(-1)) as Result
  assert.equal(diff?.files, 2, 'what was uncommitted is no change of the machine')
  const client = await place.client()
  const notes = await Array.fromAsync(await client.checkpoints.content(run.checkpoint_id ?? '', 'project/notes.txt'))
  assert.equal(Buffer.concat(notes).toString(), 'mine\n')
  assert.equal((await place.run(['apply', run.id, '--project', repository.path])).code, 0)
  assert.equal(await repository.git('status', '--porcelain'), 'M README.md\nA  notes.txt\n M src/age.js\n M test/age.test.js')
})

async function withoutGit(): Promise<string[]> {
  return (await fingerprint(repository.path)).filter((line) => !/^\.git[ /]/.test(line))
}

/** Paths that a new checkpoint of the machine has otherwise than an old one. */
async function differing(machine: string, checkpointId: string): Promise<string[]> {
  const { checkpoint } = await place.json(z.object({ checkpoint: Checkpoint }), ['checkpoint', 'create', machine])
  const { files } = await place.json(CheckpointDiff, ['diff', checkpointId, checkpoint.id])
  return files.map(({ path }) => path)
}
