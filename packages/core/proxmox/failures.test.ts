import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { backoffMs } from './backoff.ts'
import { classify, type FailureKind, nextAfter, oneLine } from './failures.ts'

const refused = (status: number, words: string) => ({ status, reason: words, message: undefined, errors: undefined })

for (const [status, words, kind] of [
  [400, 'Parameter verification failed.', 'parameters'],
  [401, 'No ticket', 'credentials'],
  [403, 'Permission check failed (/vms/100, VM.Clone)', 'forbidden'],
  [500, 'VM is locked (clone)', 'locked'],
  [500, "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout", 'locked'],
  [500, "cfs-lock 'storage-ceph' error: got lock request timeout", 'locked'],
  [500, "trying to acquire cfs lock 'storage-ceph' ...", 'locked'],
  [500, 'trying to acquire lock... ', 'locked'],
  [500, "unable to create VM 100 - VM 100 already exists on node 'pve2'", 'taken'],
  [500, 'unable to create VM 100: config file already exists', 'taken'],
  [500, "unable to open file '/etc/pve/nodes/pve1/qemu-server/7.conf.tmp.12' - File exists", 'taken'],
  [500, "Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist", 'absent'],
  [500, "snapshot 'one' does not exist", 'absent'],
  [500, 'QEMU guest agent is not running', 'agent not ready'],
  [500, "VM 100 qga command 'guest-ping' failed - got timeout", 'agent not ready'],
  [500, 'cluster not ready - no quorum?', 'no quorum'],
  [500, 'got timeout', 'timed out'],
  [501, "Method 'GET /x' not implemented", 'unknown method'],
  [595, 'Connection refused', 'node unreachable'],
  [596, 'Connection timed out', 'node unreachable'],
  [599, 'Too many redirections', 'node unreachable'],
  [500, "storage 'thin' does not exist", 'failed'],
] as const satisfies readonly (readonly [number, string, FailureKind])[])
  test(`${status} "${words}" means: ${kind}`, () => {
    assert.equal(classify(refused(status, words)).kind, kind)
    assert.equal(classify({ ...refused(status, 'OK'), message: `${words}\n` }).kind, kind)
  })

test('parameters are named with what is wrong with each', () => {
  const { kind, errors } = classify({ ...refused(400, 'Parameter verification failed.'), errors: { vmid: 'value must have\na minimum value of 100' } })
  assert.deepEqual([kind, errors], ['parameters', { vmid: 'value must have a minimum value of 100' }])
})

test('whatever is answered becomes bounded words without control characters', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 201, max: 600 }),
      fc.string({ maxLength: 4000, unit: 'binary' }),
      fc.dictionary(fc.string(), fc.string()),
      (status, text, errors) => {
        const failure = classify({ status, reason: text, message: text, errors })
        for (const each of [failure.words, ...Object.values(failure.errors)]) {
          assert.ok(each.length <= 600)
          assert.doesNotMatch(each, /[\u0000-\u001f\u007f-\u009f]/)
        }
        assert.notEqual(failure.words, '')
      },
    ),
  )
  assert.equal(oneLine('a\r\n\u001b[31mb'), 'a [31mb')
})

test('a write that nobody calls repeatable goes out again only when nothing of it was done', () => {
  const kinds: readonly FailureKind[] = ['parameters', 'credentials', 'forbidden', 'absent', 'taken', 'agent not ready', 'node unreachable', 'no quorum']
  for (const kind of [...kinds, 'timed out', 'unknown method', 'wrong certificate', 'unanswered', 'unreadable', 'failed'] as const)
    assert.equal(nextAfter(kind, false), 'give up')
  assert.equal(nextAfter('locked', false), 'wait for the lock')
  assert.equal(nextAfter('not sent', false), 'another door')
  assert.equal(nextAfter('unanswered', true), 'another door')
  assert.equal(nextAfter('node unreachable', true), 'wait and ask again')
  assert.equal(nextAfter('wrong certificate', true), 'give up')
})

test('a wait grows, never beyond its bound, and is never less than half of what it could be', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5000 }),
      fc.integer({ min: 1, max: 60_000 }),
      fc.nat(1000),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (first, most, attempt, chance) => {
        const limits = { firstMs: Math.min(first, most), mostMs: most }
        const wait = backoffMs(limits, attempt, chance)
        assert.ok(wait <= most && wait >= limits.firstMs / 2)
        assert.ok(backoffMs(limits, attempt + 1, 0) >= backoffMs(limits, attempt, 0))
      },
    ),
  )
})
