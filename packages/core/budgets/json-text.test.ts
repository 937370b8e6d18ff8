/** JSON as text: duplicate keys are found, one value is replaced, everything else stays. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { MAX_JSON_DEPTH, scanJson, setTopLevel } from './json-text.ts'

describe('the scan of a JSON text', () => {
  it('finds no duplicate in what JSON.stringify writes, and every key of the outermost object with its value', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 4 })), fc.constantFrom(undefined, 1, '\t'), (object, indent) => {
        const text = JSON.stringify(object, null, indent)
        const scan = scanJson(text)
        assert.equal(scan.duplicateKey, null)
        assert.equal(scan.disguisedKey, null)
        assert.deepEqual([...scan.topLevel.keys()].sort(), Object.keys(object).sort())
        // Not compared by JSON.parse, which misreads escaped keys: a line break in JSON text is always one of the indentation.
        const written = (value: unknown) => JSON.stringify(value, null, indent).replaceAll('\n', `\n${indent === 1 ? ' ' : indent}`)
        for (const [key, { start, end }] of scan.topLevel) assert.equal(text.slice(start, end), written(object[key]))
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
        assert.equal(setTopLevel(text, scanJson(text), new Map([['max_tokens', String(after)]])), write(after))
      }),
    )
  })

  it('sets keys that are there and keys that are not, and changes no other character', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.jsonValue()),
        fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 3 }),
        fc.constantFrom(undefined, 1, '\t'),
        (object, changes, indent) => {
          const text = JSON.stringify(object, null, indent)
          const scan = scanJson(text)
          const values = Object.entries(changes).map(([key, value]) => [key, JSON.stringify(value)] as const)
          const edited = setTopLevel(text, scan, new Map(values))
          const after = scanJson(edited)
          assert.deepEqual([...after.topLevel.keys()].sort(), Object.keys({ ...object, ...changes }).sort())
          for (const [key, json] of values) assert.equal(edited.slice(after.topLevel.get(key)?.start, after.topLevel.get(key)?.end), json)
          assert.equal(after.duplicateKey, null)
          // Undoing the edits by their own text gives back what was there.
          const added = values.filter(([key]) => !scan.topLevel.has(key)).map(([key, json]) => `${JSON.stringify(key)}:${json}`)
          const inserted = added.join(',') + (added.length > 0 && scan.topLevel.size > 0 ? ',' : '')
          assert.ok(edited.startsWith(`{${inserted}`))
          const bare = `{${edited.slice(1 + inserted.length)}`
          const old = values.flatMap(([key]) => {
            const span = scan.topLevel.get(key)
            return span ? [[key, text.slice(span.start, span.end)] as const] : []
          })
          assert.equal(setTopLevel(bare, scanJson(bare), new Map(old)), text)
        },
      ),
    )
    assert.equal(setTopLevel(' { } ', scanJson(' { } '), new Map([['a', '1']])), ' {"a":1 } ')
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

  it('finds a key that hides a letter in an escape, and no other escape', () => {
    for (const text of ['{"\\u006dodel":1}', '{"a":[{"b_\\u0039":1}]}', '{"\\\\\\u005f":1}', '{"\\u006D":1}', '{"\\u007a\\n":1}'])
      assert.notEqual(scanJson(text).disguisedKey, null, text)
    for (const text of ['{"^\\\\w+$":1}', '{"\\\\u006d":1}', '{"\\u003c\\n\\"\\u00e9":1}', '{"a":"\\u006dodel"}', '["\\u006d"]'])
      assert.equal(scanJson(text).disguisedKey, null, text)
  })

  it('stops at a depth that no honest request has', () => {
    const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
    assert.equal(scanJson(nested(MAX_JSON_DEPTH)).tooDeep, false)
    assert.equal(scanJson(nested(MAX_JSON_DEPTH + 1)).tooDeep, true)
  })
})
