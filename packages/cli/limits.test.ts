import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import { readLimits, readSeconds } from './limits.ts'

const refusalOf = (read: () => unknown): AutovibeError => {
  try {
    read()
  } catch (thrown) {
    if (thrown instanceof AutovibeError) return thrown
    throw thrown
  }
  throw new assert.AssertionError({ message: 'it was taken' })
}

test('a time without a unit is asked back, since nobody knows whether minutes were meant', () => {
  const { code, message, fix } = refusalOf(() => readSeconds('10', '--every', '10m'))
  assert.deepEqual([code, message, fix], ['request.invalid', '--every: 10 of what?', '--every 10m'])
  assert.equal(refusalOf(() => readLimits({ wall: '2' })).fix, '--wall 2h')
  assert.equal(refusalOf(() => readLimits({ wall: '0.5' })).fix, '--wall 0.5h')
  assert.deepEqual([readSeconds('0', '--every', '10m'), readSeconds('10m', '--every', '10m')], [0, 600])
})

test('a size without a unit is one in bytes, unless nobody can mean so few of them', () => {
  assert.deepEqual(readLimits({ memory: '268435457', disk: '20g' }), { memory_bytes: 268_435_457, disk_bytes: 20 * 1024 ** 3 })
  assert.equal(refusalOf(() => readLimits({ memory: '4' })).fix, '--memory 4GiB')
  assert.equal(refusalOf(() => readLimits({ disk: '40' })).fix, '--disk 40GiB')
})

test('an amount out of range says its option, the range, and one within it', () => {
  const { message, fix } = refusalOf(() => readLimits({ disk: '1KiB' }))
  assert.deepEqual([message, fix], ['--disk takes at least 16.0 MiB.', '--disk 10GiB'])
  assert.equal(refusalOf(() => readLimits({ processes: '3' })).fix, '--processes 512')
})

test('the units are told as the documentation writes them', () => {
  const { message, fix } = refusalOf(() => readLimits({ memory: '4gb' }))
  assert.deepEqual([message, fix], ['--memory takes a number with B, KiB, MiB, GiB or TiB, not "4gb".', '--memory 4GiB'])
  assert.equal(refusalOf(() => readLimits({ wall: '2 weeks' })).message, '--wall takes a number with s, m, h or d, not "2 weeks".')
})
