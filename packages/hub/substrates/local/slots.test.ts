/** A machine takes over a slot in steps; whichever of them a Hub did not come to, the next one finds the machine whole. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { isId, type MachineId } from '@autovibe/contract'
import { systemRuntime } from '../../runtime.ts'
import { ConformanceDoor } from '../conformance-door.ts'
import { type MachinePaths, machinePaths, slotPaths } from './layout.ts'
import type { LocalSubstrate } from './local-substrate.ts'
import { TestGround } from './test-ground.ts'

const signal = new AbortController().signal
const TOKEN = 'the-token'

/** What a Hub had done when it was killed, step by step. */
const STEPS: readonly [string, (to: MachinePaths, from: MachinePaths, slot: MachineId) => Promise<void>][] = [
  ['named its slot', (to, _from, slot) => writeFile(to.slot, slot)],
  ['laid its token beside the slot', (_to, from) => writeFile(from.tokenToCome, TOKEN)],
  [
    'moved the files of its processes',
    async (to, from) => Promise.all([from.pid, from.lock].map((file) => rename(file, join(to.folder, file.slice(from.folder.length))))).then(() => undefined),
  ],
  ['removed its empty socket folder', (to) => rm(to.socketDir, { recursive: true })],
  ['moved the folder that the agent sees', (to, from) => rename(from.socketDir, to.socketDir)],
]

describe('a machine that takes over a slot', () => {
  let ground: TestGround
  let weak: string | false = false

  before(async () => {
    ground = await TestGround.make({})
    const substrate = await ground.open(new ConformanceDoor())
    if (substrate.capabilities().tier.copy !== 'C3') weak = 'this host offers no overlay layers'
  })
  after(() => ground.dispose())

  /** The only slot that waits. */
  async function slotOf(substrate: LocalSubstrate): Promise<MachineId> {
    await substrate.warm(1)
    const [slot = ''] = await readdir(ground.layout.slots)
    assert.ok(isId('machine', slot))
    return slot
  }

  async function halfTakenOver(steps: number): Promise<MachineId> {
    const substrate = await ground.open(new ConformanceDoor())
    const machineId = systemRuntime.newId('machine')
    await substrate.create({ machineId, name: 'taker', from: null, token: TOKEN }, signal)
    const slot = await slotOf(substrate)
    for (const [, step] of STEPS.slice(0, steps)) await step(machinePaths(ground.layout, machineId), slotPaths(ground.layout, slot), slot)
    return machineId
  }

  for (const [index, [what]] of STEPS.entries()) {
    test(`works on, when its Hub was killed after it had ${what}`, async (t) => {
      if (weak !== false) return t.skip(weak)
      const machineId = await halfTakenOver(index + 1)
      const door = new ConformanceDoor()
      const next = await ground.open(door)
      await next.start(machineId, signal)
      const said = await door.run(machineId, 'hostname; pwd; ls')
      assert.deepEqual([said.output.toString(), said.token], ['taker\n/machine\nhome\nproject\n', TOKEN])
      assert.deepEqual(
        (await next.list(signal)).map((machine) => [machine.machineId, machine.power]),
        [[machineId, 'running']],
      )
      await next.destroy(machineId, signal)
      await door.closeAll()
    })

    test(`is stopped and started anew with its token, when its Hub was killed after it had ${what}`, async (t) => {
      if (weak !== false) return t.skip(weak)
      const machineId = await halfTakenOver(index + 1)
      const door = new ConformanceDoor()
      const next = await ground.open(door)
      await next.stop(machineId, signal)
      assert.ok(!existsSync(machinePaths(ground.layout, machineId).slot))
      assert.deepEqual(await readdir(ground.layout.slots), [])
      await next.start(machineId, signal)
      assert.equal((await door.run(machineId, 'hostname')).token, TOKEN)
      await next.destroy(machineId, signal)
      await door.closeAll()
    })
  }

  test('sees nothing of it before it has one: no tree, no token, no socket', async (t) => {
    if (weak !== false) return t.skip(weak)
    const substrate = await ground.open(new ConformanceDoor())
    const slot = await slotOf(substrate)
    assert.deepEqual(await readdir(slotPaths(ground.layout, slot).socketDir), [])
    assert.deepEqual(await substrate.list(signal), [])
    await substrate.close()
    assert.deepEqual(await readdir(ground.layout.slots), [])
  })

  test('starts in the ordinary way when what waited has ended', async (t) => {
    if (weak !== false) return t.skip(weak)
    const door = new ConformanceDoor()
    const substrate = await ground.open(door)
    const slot = await slotOf(substrate)
    await ground.crash(slot)
    await mkdir(ground.layout.slots, { recursive: true })
    const machineId = systemRuntime.newId('machine')
    await substrate.create({ machineId, name: 'cold', from: null, token: TOKEN }, signal)
    await substrate.start(machineId, signal)
    assert.equal((await door.run(machineId, 'hostname')).output.toString(), 'cold\n')
    await substrate.destroy(machineId, signal)
    await door.closeAll()
  })
})
