/** A person asks whether a checkpoint is sound, and whether it can be restored: the command says so, and its exit code too. */
import assert from 'node:assert/strict'
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Checkpoint, OperationId, Run } from '@autovibe/contract'
import { z } from 'zod'
import { type Place, recordsOf } from './support/command.ts'
import { openScriptedPlace, type ScriptedPlace } from './support/scripted-place.ts'

const SCRIPT = fileURLToPath(new URL('../packages/scripted-model/scripts/demo.yaml', import.meta.url))
const Listed = z.object({ checkpoints: z.array(Checkpoint) })
const Verified = z.object({ checkpoint: Checkpoint, restored: z.boolean(), operation_id: OperationId })

let scripted: ScriptedPlace
let place: Place

before(async () => {
  scripted = await openScriptedPlace(SCRIPT)
  place = scripted.place
})
after(() => scripted.close())

test('a checkpoint of a run is read back, restored and compared; a damaged one ends the command with 1', async () => {
  const args = ['run', 'Make the failing test pass', '--project', scripted.repository.path, '--provider', 'scripted', '--budget', '2.00', '--json']
  const { code, stdout } = await place.run(args)
  assert.equal(code, 0, stdout)
  const run = Run.parse(recordsOf(stdout).at(-1)?.['run'])
  const [newest] = await (await place.client()).checkpoints.list({ machine: run.machine_id }).take(1)
  assert.ok(newest)

  const plainly = await place.run(['checkpoint', 'verify', newest.id])
  assert.equal(plainly.code, 0, plainly.stderr)
  assert.match(plainly.stdout, new RegExp(`^✓ ${newest.id} is sound: \\d+ files, .*, read back and hashed in .*\\.\n$`))
  const restored = await place.run(['checkpoint', 'verify', newest.id, '--restore'])
  assert.match(restored.stdout, new RegExp(`^✓ ${newest.id} is sound: .* restored and compared with the manifest`), restored.stderr)
  const { checkpoint } = await place.json(Verified, ['checkpoint', 'verify', newest.id, '--restore'])
  assert.equal(checkpoint.state, 'verified')
  assert.ok((checkpoint.verified_at ?? '') > (newest.verified_at ?? ''))
  assert.deepEqual(await readdir(join(place.dataDir, 'scratch')), [])

  await damageAll()
  const damaged = await place.run(['checkpoint', 'verify', newest.id, '--restore'])
  assert.equal(damaged.code, 1, damaged.stdout)
  assert.match(damaged.stderr, /is damaged\. .*\(checkpoint\.corrupt\)/)
  assert.match(damaged.stderr, /Fix:.*autovibe checkpoint list/)
  assert.equal((await place.run(['fork', newest.id])).code, 6)
  // The machine stands on it, so that the Hub is not well, and whoever asks is told where to look.
  const health = await (await place.client()).hub.health()
  const checked = health.checks.find(({ name }) => name === 'checkpoints')
  assert.deepEqual([health.status, checked?.ok, checked?.detail], ['degraded', false, `1 damaged, 1 of them needed: ${newest.id}`])
  const doctor = await place.run(['doctor'])
  assert.equal(doctor.code, 1, doctor.stdout)
  assert.match(doctor.stdout, /✗ .*checkpoints.*1 damaged, 1 of them needed.*\n.*autovibe checkpoint list --state corrupt/)
  const all = await place.run(['checkpoint', 'list'])
  assert.match(all.stdout, /\n1 of them is damaged: autovibe checkpoint list --state corrupt\n/)
  assert.deepEqual(
    (await place.json(Listed, ['checkpoint', 'list', '--state', 'corrupt'])).checkpoints.map(({ id, state }) => [id, state]),
    [[newest.id, 'corrupt']],
  )
  assert.match((await place.run(['checkpoint', 'list', '--state', 'corrupt'])).stderr, new RegExp(`autovibe checkpoint verify ${newest.id}`))
  assert.match((await place.refusal(['checkpoint', 'list', '--state', 'corupt'])).fix ?? '', /--state corrupt$/)
  await (await place.client()).machines.destroy(run.machine_id)
  const unknown = await place.refusal(['checkpoint', 'verify', 'ckp_00000000000000000000000000'])
  assert.deepEqual([unknown.code, unknown.exit], ['not_found', 5])
})

/** In every segment the bytes behind the head, which hold contents or nodes. */
async function damageAll(): Promise<void> {
  const all = await readdir(join(place.dataDir, 'store'), { recursive: true, withFileTypes: true })
  const segments = all.filter((each) => each.isFile() && each.parentPath.includes('/segments')).map((each) => join(each.parentPath, each.name))
  assert.ok(segments.length > 0)
  for (const path of segments) {
    await using file = await open(path, 'r+')
    await file.write(Buffer.alloc(8, 0xa5), 0, 8, 60)
  }
}
