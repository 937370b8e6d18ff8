import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PutProjectTriggers } from '@autovibe/contract'
import fc from 'fast-check'
import { fitsAnyPattern } from './command-patterns.ts'

const fits = (command: string, ...patterns: string[]): boolean => fitsAnyPattern(command, patterns)

test('a pattern fits where its words follow one another, wherever that is in the command line', () => {
  for (const command of [
    'make deploy',
    'cd x && make deploy --now',
    'sudo make deploy',
    'bash -c "make deploy"',
    '(make deploy)',
    'echo `make deploy`',
    '/usr/bin/make deploy',
  ])
    assert.ok(fits(command, 'make deploy'), command)
  for (const command of ['make', 'deploy', 'make; deploy', 'make -j2 deploy', 'make deployed', 'remake deploy', 'echo make | deploy', ''])
    assert.ok(!fits(command, 'make deploy'), command)
})

test('a star is any characters of one word, none included, and nothing else of a pattern is special', () => {
  assert.deepEqual(
    ['./migrate.sh', 'npm run db-migrate-all', 'migrate'].map((command) => fits(command, '*migrate*')),
    [true, true, true],
  )
  assert.deepEqual([fits('aws s3 rm', 'aws * rm'), fits('aws rm', 'aws * rm'), fits('aws s3 x rm', 'aws * rm')], [true, false, false])
  assert.deepEqual([fits('axb', 'a.b'), fits('aab', 'a+b'), fits('a.b', 'a.b'), fits('ab', 'a?b')], [false, false, true, false])
  assert.deepEqual([fits('aXbXc', 'a*b*c'), fits('acb', 'a*b*c'), fits('aba', 'ab*ba'), fits('abba', 'ab*ba')], [true, false, false, true])
})

test('a word with a slash is compared as a whole, one without also with the end of a path', () => {
  assert.deepEqual(
    [fits('./bin/deploy.sh', 'deploy.sh'), fits('./bin/deploy.sh', 'bin/deploy.sh'), fits('./bin/deploy.sh', '*/deploy.sh')],
    [true, false, true],
  )
})

test('one word fits as a regular expression of the same meaning says', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '*'), maxLength: 8 })
  fc.assert(
    fc.property(text, fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 10 }), (pattern, word) => {
      fc.pre(pattern !== '')
      assert.equal(fits(word, pattern), new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(word))
    }),
    { numRuns: 2000 },
  )
})

test('what could never fit is refused, and so is what would take long to compare', () => {
  const allowed = (...risky_patterns: string[]) => PutProjectTriggers.safeParse({ risky_patterns }).success
  for (const pattern of ['make deploy', '*', './x --force', 'größer *', 'a b c d e f g h i j']) assert.ok(allowed(pattern), pattern)
  for (const pattern of ['', ' make', 'make  x', 'a\tb', 'a;b', 'a|b', '"a"', 'a(b', 'a\nb', 'a\u0000', '\ud800', 'a b c d e f g h i j k', 'x'.repeat(101)])
    assert.ok(!allowed(pattern), JSON.stringify(pattern))
  assert.ok(!allowed(...Array.from({ length: 51 }, (_, index) => `make x${index}`)))
})
