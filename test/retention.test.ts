/** Which checkpoints stay, by the real command: looked at first, then applied; what is needed or pinned stays, and what is gone says so. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Checkpoint, CheckpointDiff, ProjectSettings, ProjectStorage, RetentionPlan, Run } from '@autovibe/contract'
import { z } from 'zod'
import { type Place, recordsOf } from './support/command.ts'
import { openScriptedPlace, type ScriptedPlace } from './support/scripted-place.ts'

const SCRIPT = fileURLToPath(new URL('../packages/scripted-model/scripts/demo.yaml', import.meta.url))
const STRICT = ['--keep-last', '1', '--hourly', '0', '--daily', '0', '--weekly', '0']
const Listed = z.object({ checkpoints: z.array(Checkpoint), storage: z.array(ProjectStorage.extend({ project: z.string() })) })
const Retained = z.object({ plan: RetentionPlan, applied: z.boolean(), expired: z.int(), saved: z.boolean() })

let scripted: ScriptedPlace
let place: Place
let run: Run
let start: Checkpoint
/** Taken by hand, in this order. */
let taken: string[]

before(async () => {
  scripted = await openScriptedPlace(SCRIPT)
  place = scripted.place
  const args = ['run', 'Make the failing test pass', '--project', scripted.repository.path, '--provider', 'scripted', '--budget', '2.00', '--json']
  const { code, stdout } = await place.run(args)
  assert.equal(code, 0, stdout)
  run = Run.parse(recordsOf(stdout).at(-1)?.['run'])
  taken = []
  for (const label of ['one', 'two', 'three']) {
    const { checkpoint } = await place.json(z.object({ checkpoint: Checkpoint, operation_id: z.string() }), [
      'checkpoint',
      'create',
      run.machine_name,
      '--label',
      label,
    ])
    taken.push(checkpoint.id)
  }
  const first = (await all()).find(({ trigger }) => trigger === 'start')
  assert.ok(first)
  start = first
})
after(() => scripted.close())

const all = async () => (await place.json(Listed, ['checkpoint', 'ls'])).checkpoints
const stateOf = async (id: string | undefined) => (await all()).find((checkpoint) => checkpoint.id === id)?.state

test('the list says what each takes and what it added, and what the project takes', async () => {
  const { checkpoints, storage } = await place.json(Listed, ['checkpoint', 'ls'])
  const [project, ...others] = storage
  assert.deepEqual(others, [])
  assert.ok(project)
  assert.deepEqual([project.checkpoints, project.logical_bytes], [checkpoints.length, checkpoints.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0)])
  assert.equal(
    project.stored_bytes,
    checkpoints.reduce((sum, { new_bytes }) => sum + (new_bytes ?? 0), 0),
    'the store is what they added',
  )
  assert.ok(project.unique_bytes < project.logical_bytes)
  const { stdout } = await place.run(['checkpoint', 'ls', run.machine_name])
  assert.match(stdout, /^CHECKPOINT .* SIZE +NEW /)
  assert.match(stdout, /\nproject \S+: \d+ checkpoints of .* in the store: [\d.]+ times smaller \([\d.]+ by equal contents × [\d.]+ by compression\)\n$/)
})

test('a look changes nothing, and says why each stays', async () => {
  const before = await all()
  const { plan, applied } = await place.json(Retained, ['checkpoint', 'retention', ...STRICT])
  assert.equal(applied, false)
  const going = new Set(plan.expire.items.map(({ id }) => id as string))
  assert.ok(going.has(taken[0] ?? '') && going.has(taken[1] ?? ''))
  assert.ok(plan.keep.items.every(({ reasons }) => reasons.length > 0))
  assert.match(plan.keep.items.find(({ id }) => id === taken[2])?.reasons.join() ?? '', /stands on it/)
  assert.match(plan.keep.items.find(({ id }) => id === start.id)?.reasons.join() ?? '', /diffs of later checkpoints/)
  assert.deepEqual(await all(), before)
  const { stdout, stderr } = await place.run(['checkpoint', 'retention', ...STRICT])
  assert.match(stdout, /checkpoints would expire:/)
  assert.match(stderr, /autovibe checkpoint retention --project \S+ --keep-last 1 --hourly 0 --daily 0 --weekly 0 --apply/)
  assert.match((await place.run(['checkpoint', 'retention'])).stdout, /Nothing would expire\./, 'by default a young project keeps all')
})

test('what no rule keeps goes; what is pinned, and what the machine was taken back to, stays', async () => {
  const [pinned = '', target = '', last = ''] = taken
  assert.equal((await place.json(z.object({ checkpoint: Checkpoint }), ['checkpoint', 'pin', pinned])).checkpoint.pinned, true)
  assert.match((await place.run(['checkpoint', 'ls'])).stdout, new RegExp(`${pinned} .*verified, pinned`))
  assert.equal((await place.run(['rollback', run.machine_name, target])).code, 0)
  const { plan, applied, expired } = await place.json(Retained, ['checkpoint', 'retention', ...STRICT, '--apply'])
  assert.deepEqual([applied, expired], [true, plan.expire.total])
  assert.deepEqual(
    [await stateOf(pinned), await stateOf(target), await stateOf(start.id), await stateOf(last)],
    ['verified', 'verified', 'verified', 'expired'],
  )
  const again = await place.json(Retained, ['checkpoint', 'retention', ...STRICT, '--apply'])
  assert.deepEqual([again.expired, again.plan.expire.total], [0, 0])
})

test('what is gone is refused with its way on', async () => {
  const gone = taken[2] ?? ''
  for (const args of [
    ['fork', gone],
    ['rollback', run.machine_name, gone],
    ['diff', gone],
    ['checkpoint', 'pin', gone],
  ]) {
    const { code, exit, fix } = await place.refusal(args)
    assert.deepEqual([code, exit], ['checkpoint.gone', 5], args.join(' '))
    assert.match(fix ?? '', new RegExp(`autovibe checkpoint list ${run.machine_id}`))
  }
  assert.equal((await place.run(['checkpoint', 'list', run.machine_id])).code, 0)
})

test('a diff still begins at the start, a fork of what stayed works, and the machine goes on', async () => {
  const [pinned = ''] = taken
  const diff = await place.json(CheckpointDiff, ['diff', pinned])
  assert.deepEqual([diff.against_id, diff.files.map(({ path }) => path)], [start.id, ['src/age.js', 'test/age.test.js']])
  assert.equal((await place.run(['fork', pinned])).code, 0)
  assert.equal((await place.run(['checkpoint', 'create', run.machine_name])).code, 0)
})

test('rules that are saved are those of the project, and an unpinned checkpoint goes by them', async () => {
  const [pinned = ''] = taken
  const { plan, saved } = await place.json(Retained, ['checkpoint', 'retention', ...STRICT, '--save'])
  assert.equal(saved, true)
  assert.match(
    (await place.run(['checkpoint', 'retention', ...STRICT, '--save'])).stdout,
    /^✓ Saved as the rules of project \S+, which the Hub applies every hour\.\nproject /,
  )
  const listed = await place.json(z.object({ checkpoints: z.array(z.object({ project_id: z.string() })) }), [
    'checkpoint',
    'list',
    '--project',
    plan.project_id,
  ])
  assert.deepEqual([...new Set(listed.checkpoints.map(({ project_id }) => project_id))], [plan.project_id])
  assert.equal((await place.refusal(['checkpoint', 'list', '--project', 'nobody'])).code, 'not_found')
  const { settings } = await place.json(z.object({ project: z.object({}), settings: ProjectSettings }), ['project', 'show', plan.project_id])
  assert.deepEqual(settings.retention, { keep_last: 1, hourly: 0, daily: 0, weekly: 0 })
  assert.match((await place.run(['project', 'show', plan.project_id])).stdout, /checkpoints +kept are of each machine the last 1$/m)
  // The fork stands on it.
  const fork = (await (await place.client()).machines.list().take(10)).find(({ id }) => id !== run.machine_id)
  assert.equal((await place.run(['machine', 'destroy', fork?.name ?? ''])).code, 0)
  assert.equal((await place.run(['checkpoint', 'unpin', pinned])).code, 0)
  await place.json(Retained, ['checkpoint', 'retention', '--apply'])
  assert.equal(await stateOf(pinned), 'expired')
  const { exit, fix } = await place.refusal(['checkpoint', 'retention', '--keep-last', '0'])
  assert.deepEqual([exit, fix], [2, 'autovibe checkpoint retention --help'])
})
