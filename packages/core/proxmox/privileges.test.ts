import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Check, grant, leastGrants, passes } from './privileges.ts'

const placeOf = (path: string): string => path.split('/')[1] ?? ''
const privileges = fc.uniqueArray(fc.constantFrom('A', 'B', 'C', 'D', 'E'), { minLength: 1, maxLength: 3 })
const path = fc.constantFrom('/vms/{vmid}', '/pool/{pool}', '/nodes/{node}')
const { check } = fc.letrec<{ check: Check; perm: Check; group: Check }>((tie) => ({
  perm: fc.oneof(
    fc.tuple(fc.constant('perm' as const), path, privileges),
    fc.tuple(fc.constant('perm' as const), path, privileges, fc.constant('any' as const), fc.constant(1 as const)),
  ),
  group: fc
    .tuple(fc.constantFrom('and' as const, 'or' as const), fc.array(tie('check'), { minLength: 1, maxLength: 3 }))
    .map(([operator, rest]): Check => [operator, ...rest]),
  check: fc.oneof({ maxDepth: 3 }, tie('perm'), tie('group')),
}))

test('the grants pass every check, and without any one of them some check does not pass', () => {
  fc.assert(
    fc.property(fc.array(check, { maxLength: 12 }), (checks) => {
      const held = leastGrants(checks, placeOf)
      assert.ok(checks.every((each) => passes(each, held, placeOf)))
      for (const left of held) {
        const rest = new Set([...held].filter((each) => each !== left))
        assert.ok(!checks.every((each) => passes(each, rest, placeOf)), `${left} is not needed`)
      }
    }),
  )
})

test('more grants never pass less', () => {
  fc.assert(
    fc.property(check, fc.uniqueArray(privileges.map(([first]) => grant('vms', first ?? 'A'))), (each, more) => {
      const held = leastGrants([each], placeOf)
      assert.ok(passes(each, new Set([...held, ...more]), placeOf))
    }),
  )
})

test('where there is a choice, what another check wants anyway is enough', () => {
  const held = leastGrants(
    [
      ['perm', '/vms/{vmid}', ['Narrow', 'Broad'], 'any', 1],
      ['perm', '/vms/{vmid}', ['Broad']],
    ],
    placeOf,
  )
  assert.deepEqual([...held], ['vms Broad'])
})

test('where there is a choice and nothing decides it, the first that is named is taken', () => {
  assert.deepEqual([...leastGrants([['perm', '/vms/{vmid}', ['Narrow', 'Broad'], 'any', 1]], placeOf)], ['vms Narrow'])
})
