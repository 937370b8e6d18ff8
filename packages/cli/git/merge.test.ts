import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import type { Version } from './changes.ts'
import { decide, type Ours } from './merge.ts'

const file = (sha256: string, executable = false): Version => ({ kind: 'file', sha256, size: 1, executable })
const link = (target: string): Version => ({ kind: 'symlink', target: Buffer.from(target) })
const absent: Version = { kind: 'absent' }
const directory: Ours = { kind: 'directory' }

const version = fc.oneof(
  fc.record({ sha256: fc.constantFrom('x', 'y', 'z'), executable: fc.boolean() }).map(({ sha256, executable }) => file(sha256, executable)),
  fc.constantFrom('p', 'q').map(link),
  fc.constant(absent),
)

test('a checkout that is as the machine found it takes the result', () => {
  fc.assert(fc.property(version, version, (base, theirs) => assert.ok(['take', 'nothing'].includes(decide(base, base, theirs).do))))
})

test('a checkout that has the result already is left alone', () => {
  fc.assert(fc.property(version, version, (base, theirs) => assert.equal(decide(base, theirs, theirs).do, 'nothing')))
})

test('what only the checkout changed is never overwritten', () => {
  fc.assert(
    fc.property(version, version, (base, ours) => {
      const decision = decide(base, ours, base)
      // A change that is none has no business in a diff; whatever is decided must keep ours.
      if (JSON.stringify(ours) !== JSON.stringify(base) && decision.do === 'take')
        assert.ok(ours.kind === 'file' && base.kind === 'file' && ours.sha256 === base.sha256)
    }),
  )
})

test('the executable bit and the content are merged each for itself', () => {
  assert.deepEqual(decide(file('x'), file('x', true), file('y')), { do: 'take', executable: true })
  assert.deepEqual(decide(file('x'), file('y'), file('x', true)), { do: 'merge', executable: true })
  assert.deepEqual(decide(file('x', true), file('y', true), file('z')), { do: 'merge', executable: false })
})

test('texts that both changed are merged, everything else that both changed is a conflict', () => {
  assert.equal(decide(file('x'), file('y'), file('z')).do, 'merge')
  for (const [base, ours, theirs] of [
    [absent, file('x'), file('y')],
    [file('x'), absent, file('y')],
    [file('x'), file('y'), absent],
    [file('x'), link('a'), file('y')],
    [link('a'), link('b'), link('c')],
    [absent, file('x'), link('a')],
  ] as const)
    assert.equal(decide(base, ours, theirs).do, 'conflict')
})

test('a folder in the place of a changed file is a conflict, in the place of a new one it may be on its way out', () => {
  assert.equal(decide(file('x'), directory, file('y')).do, 'conflict')
  assert.equal(decide(file('x'), directory, absent).do, 'conflict')
  assert.equal(decide(absent, directory, file('y')).do, 'take')
})

test('what cannot be read safely is a conflict that says why', () => {
  assert.deepEqual(decide(absent, { kind: 'other', what: 'a socket' }, file('x')), { do: 'conflict', why: 'a socket' })
})
