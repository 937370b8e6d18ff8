/** A machine that is stopped while its layers were half swapped: what a snapshot that failed in the middle has left is repaired first. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import type { MachineId } from '@autovibe/contract'
import { systemRuntime } from '../../runtime.ts'
import { ConformanceDoor } from '../conformance-door.ts'
import { accountAfter } from '../conformance-tree.ts'
import { machinePaths } from './layout.ts'
import type { LocalSubstrate } from './local-substrate.ts'
import { findMarked } from './marked.ts'
import { topMost } from './supervisor.ts'
import { TestGround } from './test-ground.ts'
import { reasonAgainst } from './test-tiers.ts'

const skip = (await reasonAgainst({ copy: 'C3' })) ?? false
const signal = new AbortController().signal

describe('a stop while layers were half swapped', { skip }, () => {
  const door = new ConformanceDoor()
  let ground: TestGround
  let substrate: LocalSubstrate
  before(async () => {
    ground = await TestGround.make({ copy: 'C3' })
    substrate = await ground.open(door)
  })
  after(async () => {
    await door.closeAll()
    await ground.dispose()
  })

  async function machine(): Promise<MachineId> {
    const machineId = systemRuntime.newId('machine')
    await substrate.create({ machineId, name: 'half', from: null, token: 'token' }, signal)
    await substrate.start(machineId, signal)
    return machineId
  }
  const run = async (machineId: MachineId, script: string): Promise<string> => {
    const { code, output } = await door.run(machineId, script)
    assert.equal(code, 0, String(output))
    return String(output)
  }

  test('what was written to a layer that no file names yet is still there afterwards, and the frozen layer is as it was', async () => {
    const machineId = await machine()
    await run(machineId, 'echo before >project/file')
    const { document } = machinePaths(ground.layout, machineId)
    const notWritten = readFileSync(document)
    const checkpointId = systemRuntime.newId('checkpoint')
    const { handle } = await substrate.snapshot(machineId, checkpointId, signal)
    // As when the disk was full at the last step of the snapshot: the kernel has swapped, and the machine's file says otherwise.
    writeFileSync(document, notWritten)
    const frozen = (await accountAfter(new Map(), substrate.changes(handle, null, signal))).account
    await run(machineId, 'echo after >project/file; echo new >project/new')
    await substrate.stop(machineId, signal)
    await substrate.start(machineId, signal)
    assert.equal(await run(machineId, 'cat project/file project/new'), 'after\nnew\n')
    await run(machineId, 'echo later >project/file')
    assert.deepEqual((await accountAfter(new Map(), substrate.changes(handle, null, signal))).account, frozen)
    await substrate.destroy(machineId, signal)
    await substrate.dropSnapshot(checkpointId, signal)
  })

  test('a machine that has lost its tree between the two halves is stopped, and starts with it again', async () => {
    const machineId = await machine()
    await run(machineId, 'echo kept >project/file')
    const supervisor = topMost((await findMarked(ground.layout)).filter((one) => one.machineId === machineId))
    assert.ok(supervisor)
    const [, tree = ''] = /^\S+ \S+ \S+ \S+ (\S+) .* - overlay /m.exec(readFileSync(`/proc/${supervisor.pid}/mountinfo`, 'utf8')) ?? []
    assert.ok(tree.startsWith(ground.dataDir), tree)
    const spaces = process.getuid?.() === 0 ? ['--mount'] : ['--user', '--preserve-credentials', '--mount']
    execFileSync('nsenter', ['--target', String(supervisor.pid), ...spaces, 'umount', '--lazy', tree])
    assert.doesNotMatch(readFileSync(`/proc/${supervisor.pid}/mountinfo`, 'utf8'), / - overlay /)
    await substrate.stop(machineId, signal)
    await substrate.start(machineId, signal)
    assert.equal(await run(machineId, 'cat project/file'), 'kept\n')
    await substrate.destroy(machineId, signal)
  })
})
