import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import { inOptions, readDestinations } from './egress.ts'

const fixOf = (act: () => unknown): string | undefined => {
  try {
    act()
  } catch (thrown) {
    if (thrown instanceof AutovibeError) return thrown.fix
    throw thrown
  }
  throw new assert.AssertionError({ message: 'it was taken' })
}

test('what is no HOST:PORT is refused with the destination that was meant', () => {
  for (const [given, meant] of [
    ['registry.npmjs.org', 'registry.npmjs.org:443'],
    ['https://registry.npmjs.org/npm', 'registry.npmjs.org:443'],
    ['http://example.com', 'example.com:80'],
    ['https://example.com:8443/x', 'example.com:8443'],
  ] as const)
    assert.equal(
      fixOf(() => readDestinations('shop', { allow: [given], remove: ['a.b:443'] })),
      `autovibe project egress shop --allow ${meant} --remove a.b:443`,
    )
  assert.equal(
    fixOf(() => readDestinations('shop', { allow: ['*.example.com', '[::1]:5'], allowPrivate: ['10.0.0.5'] })),
    "autovibe project egress shop --allow '*.example.com:443' --allow '[::1]:5' --allow-private 10.0.0.5:443",
  )
})

test('what may be a destination is left to the Hub as it was typed', () => {
  assert.deepEqual(readDestinations('shop', { allow: ['*.a.b:443', '2606::1'], allowPrivate: ['10.0.0.5:5000'] }), [
    { destination: '*.a.b:443', private: false },
    { destination: '2606::1', private: false },
    { destination: '10.0.0.5:5000', private: true },
  ])
})

test("an address in a network of one's own is offered as private, whatever stood on the list before", () => {
  const sent = [
    { destination: 'a.b:443', private: false },
    { destination: '10.0.0.5:5000', private: false },
  ]
  const refusal = (path: string) =>
    new AutovibeError('request.invalid', 'The list cannot be kept.', { fix: 'as the Hub says', errors: [{ path, message: '…' }] })
  const fix = (path: string) => fixOf(() => inOptions('shop', { allow: ['c.d:443', '10.0.0.5:5000'] }, sent)(refusal(path)))
  assert.equal(fix('/egress/1/private'), 'autovibe project egress shop --allow c.d:443 --allow-private 10.0.0.5:5000')
  assert.equal(fix('/egress/1/destination'), 'as the Hub says')
})
