/** A machine without a verified checkpoint: what the command advises leads to one, word for word. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { CheckpointDiff, Run } from '@autovibe/contract'
import pg from 'pg'
import { type Place, recordsOf } from './support/command.ts'
import type { Repository } from './support/demo-project.ts'
import { openScriptedPlace, type ScriptedPlace } from './support/scripted-place.ts'

const SCRIPT = fileURLToPath(new URL('../packages/scripted-model/scripts/demo.yaml', import.meta.url))

let scripted: ScriptedPlace
let place: Place
let repository: Repository

before(async () => {
  scripted = await openScriptedPlace(SCRIPT)
  ;({ place, repository } = scripted)
})
after(() => scripted.close())

test('of a stopped machine diff advises the start, then the checkpoint, and then it has what it needs', async () => {
  const args = ['run', 'Make the failing test pass', '--project', repository.path, '--provider', 'scripted', '--budget', '2.00', '--json']
  const { code, stdout } = await place.run(args)
  assert.equal(code, 0, stdout)
  const run = Run.parse(recordsOf(stdout).at(-1)?.['run'])
  await loseCheckpoints(run.machine_id)
  assert.equal((await place.run(['machine', 'stop', run.machine_name])).code, 0)

  for (const advice of [`autovibe machine start ${run.machine_name}`, `autovibe checkpoint create ${run.machine_name}`]) {
    const { code: why, fix } = await place.refusal(['diff', run.machine_name])
    assert.deepEqual([why, fix], ['checkpoint.not_verified', advice])
    const followed = await place.run(advice.split(' ').slice(1))
    assert.equal(followed.code, 0, followed.stderr)
  }
  const newest = (await (await place.client()).checkpoints.list({ machine: run.machine_id }).take(100)).find(({ state }) => state === 'verified')
  const { checkpoint_id } = await place.json(CheckpointDiff, ['diff', newest?.id ?? '', run.machine_name])
  assert.equal(checkpoint_id, newest?.id)
})

/** As if the store had found each of them damaged. */
async function loseCheckpoints(machineId: string): Promise<void> {
  const db = new pg.Client({ host: join(place.dataDir, 'postgres', 'socket'), port: 5432, user: 'autovibe', database: 'postgres' })
  await db.connect()
  await db.query(`update checkpoints set state = 'corrupt' where machine_id = $1`, [machineId])
  await db.end()
}
