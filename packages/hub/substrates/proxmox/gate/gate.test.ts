/** A real guest at a real gate: every call, and what outlives whom. */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { accountAfter, accountFromInside } from '../../conformance-tree.ts'
import { AWKWARD } from '../../conformance-work.ts'
import { Ground, never, newCheckpoint, TOKEN, treeOf } from './testing/ground.ts'

suite('a guest at the gate', () => {
  let ground: Ground
  before(async () => {
    ground = await Ground.open()
  })
  after(() => ground.close())

  test('registers, is given a tree, starts its agent, and the agent finds its Hub', async () => {
    const { machineId, guest } = await ground.machine()
    assert.equal((await guest.state(never)).hasTree, false)
    await guest.plant(null, never)
    const before = await guest.state(never)
    assert.deepEqual({ hasTree: before.hasTree, agent: before.agent, life: before.life }, { hasTree: true, agent: 'stopped', life: '' })
    await ground.start({ machineId, guest })
    const { code, output, token } = await ground.door.run(machineId, 'pwd; ls; echo "$HOME"')
    assert.equal(code, 0)
    assert.match(output.toString(), /\/trees\/tree\nhome\nproject\n.*\/trees\/tree\/home\n$/)
    assert.equal(token, TOKEN)
    const state = await guest.state(never)
    assert.equal(state.agent, 'running')
    assert.notEqual(state.life, '')
    assert.ok(state.processes >= 1 && state.memoryBytes > 0)
    await guest.stopAgent(never)
    await guest.stopAgent(never)
    const after = await guest.state(never)
    assert.deepEqual([after.agent, after.processes, after.life], ['stopped', 0, state.life])
  })

  test('freezes its tree under a running agent, tells what lies between two, and goes back', async () => {
    const { machineId, guest } = await ground.running()
    await ground.door.run(machineId, AWKWARD)
    const scene = await accountFromInside(ground.door, machineId)
    const [first, second] = [newCheckpoint(), newCheckpoint()]
    assert.equal(await guest.freeze(first, never), 'consistent')
    assert.deepEqual(await treeOf(guest, first), scene)
    await ground.door.run(machineId, 'echo more >project/new; rm -r project/gone')
    const later = await accountFromInside(ground.door, machineId)
    await guest.freeze(second, never)
    assert.deepEqual((await accountAfter(scene, guest.changes(second, first, never))).account, later)
    assert.deepEqual([...(await guest.state(never)).frozen].sort(), [first, second].sort())
    await guest.stopAgent(never)
    await guest.rollBack(first, never)
    await ground.start({ machineId, guest })
    assert.deepEqual(await accountFromInside(ground.door, machineId), scene)
    await guest.thaw(first, never)
    await guest.thaw(first, never)
    await assert.rejects(async () => await treeOf(guest, first), { code: 'substrate.snapshot_gone' })
    await guest.sync(never)
  })
})
