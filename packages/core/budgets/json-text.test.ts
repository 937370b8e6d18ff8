/** JSON as text: duplicate keys are found, one value is replaced, everything else stays. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { MAX_JSON_DEPTH, replaceTopLevel, scanJson } from './json-text.ts'

describe('the scan of a JSON text', () => {
  it('finds no duplicate in what JSON.stringify writes, and every key of the outermost object with its value', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 4 })), fc.constantFrom(undefined, 1, '\t'), (object, indent) => {
        const text = JSON.stringify(object, null, indent)
        const scan = scanJson(text)
        assert.equal(scan.duplicateKey, null)
        const plain = JSON.parse(text) as Record<string, unknown>
        assert.deepEqual([...scan.topLevel.keys()].sort(), Object.keys(plain).sort())
        for (const [key, { start, end }] of scan.topLevel) assert.deepEqual(JSON.parse(text.slice(start, end)), plain[key])
      }),
    )
  })

  it('replaces one value and no other character', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.nat(), fc.nat(), fc.nat(), (others, before, after, position) => {
        const entries = Object.entries(others).filter(([key]) => key !== 'max_tokens')
        entries.splice(position % (entries.length + 1), 0, ['max_tokens', before])
        const write = (value: number) =>
          `{ ${entries.map(([key, other]) => `${JSON.stringify(key)} :\n${JSON.stringify(key === 'max_tokens' ? value : other)} `).join(',')}}`
        const text = write(before)
        assert.equal(replaceTopLevel(text, scanJson(text), 'max_tokens', String(after)), write(after))
      }),
    )
  })

  it('finds a key that stands twice, however it is written and however deep', () => {
    const twice = [
      '{"a":1,"a":2}',
      '{"a":1,"\\u0061":2}',
      '{"x":[{"y":{"b":1, "b" :1}}]}',
      '{"a\\"":1,"a\\"":2}',
      '{"":0,"":0}',
      '{"__proto__":1,"__proto__":2}',
    ]
    for (const text of twice) assert.notEqual(scanJson(text).duplicateKey, null, text)
    const once = ['{"a":"a","b":"a"}', '[{"a":1},{"a":2}]', '{"a":{"a":1}}', '{"a":"\\\\","b":"\\""}', '{"a":["a","a"]}', '{"a":"{\\"a\\":1,\\"a\\":2}"}']
    for (const text of once) assert.equal(scanJson(text).duplicateKey, null, text)
  })

  it('stops at a depth that no honest request has', () => {
    const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
    assert.equal(scanJson(nested(MAX_JSON_DEPTH)).tooDeep, false)
    assert.equal(scanJson(nested(MAX_JSON_DEPTH + 1)).tooDeep, true)
  })
})
