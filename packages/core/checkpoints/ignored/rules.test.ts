/** What rules mean is compared with the real git in packages/hub/checkpoints/ignored-hostile.test.ts; here stands what the manual says in words, and what it costs. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { matches, readPattern } from './pattern.ts'
import { judge, readRules } from './rules.ts'

const ENOUGH = 1e9
const told = (rules: string, path: string, isFolder = false) => judge(readRules(rules), path, isFolder, { left: ENOUGH })

test('a rule without a slash is of names in any folder, one with a slash of paths from its own', () => {
  assert.equal(told('*.log\n', 'a/b/x.log'), 'ignored')
  assert.equal(told('/*.log\n', 'a/x.log'), null)
  assert.equal(told('a/*.log\n', 'a/x.log'), 'ignored')
  assert.equal(told('a/*.log\n', 'b/a/x.log'), null)
})

test('the last rule that matches decides', () => {
  assert.equal(told('*.log\n!keep.log\n', 'keep.log'), 'wanted')
  assert.equal(told('!keep.log\n*.log\n', 'keep.log'), 'ignored')
})

test('a rule with a slash at its end is of folders alone', () => {
  assert.equal(told('out/\n', 'out'), null)
  assert.equal(told('out/\n', 'a/out', true), 'ignored')
})

test('two stars as a whole name stand for any folders, or none', () => {
  for (const path of ['a/b', 'a/x/b', 'a/x/y/b']) assert.equal(told('a/**/b\n', path), 'ignored')
  for (const path of ['a/xb', 'b', 'x/a/b']) assert.equal(told('a/**/b\n', path), null)
  assert.equal(told('**/foo/bar\n', 'x/foo/bar'), 'ignored')
  assert.equal(told('foo/**\n', 'foo/x/y'), 'ignored')
  assert.equal(told('foo/**\n', 'foo', true), null)
  assert.equal(told('foo**/bar\n', 'foo/x/bar'), null)
})

test('spaces at the end are no part of a rule, unless one is kept by a backslash', () => {
  assert.equal(told('a  \n', 'a'), 'ignored')
  assert.equal(told('a\\  \n', 'a '), 'ignored')
  assert.equal(told('a\\\\ \n', 'a\\'), 'ignored')
})

test('comments, carriage returns and the mark of a byte order are no part of a rule either', () => {
  assert.equal(told('\xef\xbb\xbfa\r\n#b\n', 'a'), 'ignored')
  assert.equal(told('#b\n', '#b'), null)
  assert.equal(told('\\#b\n', '#b'), 'ignored')
})

test('a rule that cannot be read matches nothing, and the others hold', () => {
  assert.equal(told('[a\na\\\n[[:none:]]\n*\n', '[a'), 'ignored')
  assert.equal(told('[a\n', '[a'), null)
})

test('a pattern costs no more than its length times that of the text, whatever both are', () => {
  const pattern = fc.array(fc.constantFrom('a', '*', '?', '**/', '/**/', '[ab]', 'b'), { maxLength: 60 }).map((parts) => parts.join(''))
  const text = fc.array(fc.constantFrom('a', 'b', 'a/', 'b/'), { maxLength: 200 }).map((parts) => `${parts.join('')}a`)
  fc.assert(
    fc.property(pattern, text, (source, path) => {
      const effort = { left: ENOUGH }
      const read = readPattern(source)
      if (read !== null) matches(read, path, effort)
      assert.ok(ENOUGH - effort.left <= 1 + (source.length * 2 + 1) * (path.length + 1))
    }),
  )
})

test('without effort left nothing is ignored', () => {
  assert.equal(judge(readRules('*a*a*a*\n'), 'a'.repeat(100), false, { left: 50 }), null)
  assert.equal(judge(readRules(`a\n${'b\n'.repeat(100)}`), 'a', false, { left: 50 }), null)
})
