/** A snapshot is as good as the host's memory until it was written to disk; what a crash of the host may have torn is gone, whatever its file says. */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import type { CheckpointId } from '@autovibe/contract'
import { systemRuntime } from '../../runtime.ts'
import { ConformanceDoor } from '../conformance-door.ts'
import { machinePaths, snapshotPath } from './layout.ts'
import type { LocalSubstrate } from './local-substrate.ts'
import { TestGround } from './test-ground.ts'
import { reasonAgainst } from './test-tiers.ts'

const signal = new AbortController().signal
const skip = (await reasonAgainst({})) ?? false

describe('snapshots and the disk', { skip }, () => {
  let ground: TestGround
  let substrate: LocalSubstrate
  const door = new ConformanceDoor()
  const machineId = systemRuntime.newId('machine')
  const taken: CheckpointId[] = []

  before(async () => {
    ground = await TestGround.make({})
    substrate = await ground.open(door)
    await substrate.create({ machineId, name: 'written', from: null, token: 'token' }, signal)
  })
  after(async () => {
    await substrate.destroy(machineId, signal)
    for (const checkpointId of taken) await substrate.dropSnapshot(checkpointId, signal)
    await door.closeAll()
    await ground.dispose()
  })

  const take = async (): Promise<CheckpointId> => {
    const checkpointId = systemRuntime.newId('checkpoint')
    taken.push(checkpointId)
    await substrate.snapshot(machineId, checkpointId, signal)
    return checkpointId
  }
  const document = async (handle: CheckpointId) => JSON.parse(await readFile(snapshotPath(ground.layout, handle), 'utf8')) as Record<string, unknown>
  const read = async (handle: CheckpointId): Promise<number> => {
    let count = 0
    for await (const _ of substrate.changes(handle, null, signal)) count++
    return count
  }
  const crashHost = async (handle: CheckpointId): Promise<void> =>
    writeFile(snapshotPath(ground.layout, handle), JSON.stringify({ ...(await document(handle)), unwritten_boot: 'an earlier one' }))

  test('what is read for the store was written to disk before', async () => {
    const handle = await take()
    assert.equal((await document(handle))['unwritten_boot'], await readFile('/proc/sys/kernel/random/boot_id', 'latin1'))
    assert.ok((await read(handle)) > 0)
    assert.equal((await document(handle))['unwritten_boot'], null)
    assert.ok((await read(handle)) > 0)
  })

  test('one that the host’s crash came before is neither read, nor forked, nor gone back to', async () => {
    const handle = await take()
    await crashHost(handle)
    const gone = { code: 'substrate.snapshot_gone' }
    await assert.rejects(read(handle), gone)
    await assert.rejects(substrate.rollback(machineId, handle, signal), gone)
    const fork = systemRuntime.newId('machine')
    await assert.rejects(substrate.create({ machineId: fork, name: 'fork', from: handle, token: 'token' }, signal), gone)
    await substrate.destroy(fork, signal)
    await substrate.snapshot(machineId, handle, signal)
    assert.ok((await read(handle)) > 0, 'whoever was not told of it takes it again')
  })

  test('files that a power cut has emptied keep no Hub from its start, and a machine stands where it stood before', async () => {
    const handle = await take()
    const { document: path } = machinePaths(ground.layout, machineId)
    await writeFile(snapshotPath(ground.layout, handle), '')
    await writeFile(path, '')
    substrate = await ground.open(door)
    await assert.rejects(read(handle), { code: 'substrate.snapshot_gone' })
    assert.ok((await read(await take())) > 0)
  })
})
