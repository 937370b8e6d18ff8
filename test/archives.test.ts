/** Archives by the command: refused on this host, taken and shown on a cluster, removed, and told of where a backup server finds one damaged. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Checkpoint, Machine, MachineArchive, Run } from '@autovibe/contract'
import { z } from 'zod'
import type { TestCluster } from '../packages/hub/substrates/proxmox/test-cluster.ts'
import { recordsOf } from './support/command.ts'
import { moveToProxmox } from './support/on-proxmox.ts'
import { openScriptedPlace, type ScriptedPlace } from './support/scripted-place.ts'

const Listed = z.object({ archives: z.array(MachineArchive) })
const Taken = z.object({ archive: MachineArchive, operation_id: z.string() })
const SCRIPT = JSON.stringify({ conversations: [{ match: 'Say hello', replies: [{ text: 'Hello.' }] }] })

let scripted: ScriptedPlace
let cluster: TestCluster
let machine = ''

before(async () => {
  scripted = await openScriptedPlace({ text: SCRIPT, name: 'hello' })
})
after(async () => {
  await scripted.close()
  await cluster?.close()
})

async function helloMachine(): Promise<string> {
  const args = ['run', 'Say hello', '--agent', 'builtin', '--project', scripted.repository.path, '--provider', 'scripted', '--budget', '5', '--json']
  const { code, stdout, stderr } = await scripted.place.run(args)
  assert.equal(code, 0, `${stdout}\n${stderr}`)
  const closing = z.object({ run: Run, checkpoints: z.array(Checkpoint) }).parse(recordsOf(stdout).at(-1))
  return closing.run.machine_name
}

test('on this host an archive is refused with what there is instead, and the list is empty', async () => {
  const local = await helloMachine()
  const refused = await scripted.place.refusal(['machine', 'archive', local])
  assert.equal(refused.code, 'conflict.state')
  assert.match(`${refused.detail} ${refused.fix}`, /that Proxmox makes.*autovibe checkpoint create/)
  assert.match((await scripted.place.run(['machine', 'archives'])).stdout, /^No archives\./)
  assert.equal((await scripted.place.run(['machine', 'destroy', local])).code, 0)
})

test('on a cluster a machine is archived, and what is there is listed for people and as JSON', async () => {
  cluster = await moveToProxmox(scripted.place, 'lvmthin', 'pbs')
  machine = await helloMachine()
  const { archive } = await scripted.place.json(Taken, ['machine', 'archive', machine])
  assert.deepEqual([archive.state, archive.verification, archive.storage, archive.machine_name], ['stored', 'pending', 'archives', machine])
  const { archives } = await scripted.place.json(Listed, ['machine', 'archives', machine])
  assert.deepEqual(
    archives.map(({ id, checkpoint_id }) => [id, checkpoint_id]),
    [[archive.id, archive.checkpoint_id]],
  )
  const { stdout } = await scripted.place.run(['machine', 'archives'])
  assert.match(stdout, new RegExp(`^${archive.id} +${machine} +stored +not yet +`, 'm'))
  const [volume] = cluster.pve.cluster.storages.volumes(cluster.pve.cluster.storages.get('archives'), 'pve1')
  assert.equal(volume?.volid, archive.volume)
  assert.match(volume?.notes ?? '', new RegExp(`${archive.id} of machine ${archive.machine_id}, checkpoint ${archive.checkpoint_id}, Hub `))
})

test('an archive is removed by the beginning of its id, also while its machine goes on', async () => {
  const [archive] = (await scripted.place.json(Listed, ['machine', 'archives'])).archives
  assert.ok(archive)
  const { code, stderr } = await scripted.place.run(['machine', 'remove-archive', archive.id.slice(0, 20)])
  assert.equal(code, 0, stderr)
  assert.deepEqual((await scripted.place.json(Listed, ['machine', 'archives'])).archives, [])
  assert.equal((await scripted.place.json(z.object({ machine: Machine }), ['machine', 'show', machine])).machine.state, 'ready')
  const again = await scripted.place.refusal(['machine', 'remove-archive', archive.id])
  assert.equal(again.code, 'conflict.state')
})
