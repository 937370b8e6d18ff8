/** What every place of bytes must do, whatever it is made of: run by the test of each backend. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import type { Backend } from './backend.ts'

/** More than two pages of a listing as S3 gives them. */
const MANY = 2_100
const AT_ONCE = 32

/** `open` gives an empty place of its own each time, or skips the test and gives null. */
export function backendConformance(what: string, open: (t: TestContext) => Promise<Backend | null>): void {
  const check = (sentence: string, body: (backend: Backend) => Promise<void>): void => {
    test(`${what}: ${sentence}`, async (t) => {
      const backend = await open(t)
      if (backend !== null) await body(backend)
    })
  }

  check('what was put is read and listed as it is, empty or large', async (backend) => {
    const sizes = { empty: 0, one: 1, 'a/small': 1000, 'a/b/large': 17 * 1024 * 1024 + 3 }
    for (const [name, size] of Object.entries(sizes)) {
      const bytes = randomBytes(size)
      assert.equal(await backend.put(name, bytes), true)
      assert.deepEqual(await backend.get(name), bytes)
    }
    assert.deepEqual(await sizesBelow(backend, ''), sizes)
  })

  check('what was put in several buffers is read as one', async (backend) => {
    const parts = [randomBytes(1000), Buffer.alloc(0), randomBytes(3 * 1024 * 1024), randomBytes(1)]
    assert.equal(await backend.put('parts', parts), true)
    assert.deepEqual(await backend.get('parts'), Buffer.concat(parts))
    assert.equal(await backend.put('none', []), true)
    assert.deepEqual(await backend.get('none'), Buffer.alloc(0))
  })

  check('what is not there is null, lists nothing, and may be deleted', async (backend) => {
    assert.equal(await backend.get('a/none'), null)
    assert.equal(await backend.get('a/none', { offset: 5, length: 5 }), null)
    assert.equal(await backend.get('a/none', { offset: -5, length: 5 }), null)
    assert.deepEqual(await sizesBelow(backend, ''), {})
    assert.deepEqual(await sizesBelow(backend, 'a'), {})
    await backend.delete('a/none')
  })

  check('a range gives the bytes that are there', async (backend) => {
    const bytes = randomBytes(1000)
    await backend.put('r', bytes)
    await backend.put('nothing', Buffer.alloc(0))
    for (const [offset, length, from, to] of [
      [0, 10, 0, 10],
      [990, 10, 990, 1000],
      [990, 1000, 990, 1000],
      [0, 1000, 0, 1000],
      [0, 5000, 0, 1000],
      [1000, 1, 0, 0],
      [5000, 10, 0, 0],
      [500, 0, 0, 0],
      [-10, 10, 990, 1000],
      [-10, 4, 990, 994],
      [-10, 50, 990, 1000],
      [-1000, 1000, 0, 1000],
      [-5000, 5000, 0, 1000],
      [-5000, 7, 0, 7],
    ] as const) {
      assert.deepEqual(await backend.get('r', { offset, length }), bytes.subarray(from, to), `${length} at ${offset}`)
    }
    for (const offset of [0, 10, -10]) assert.deepEqual(await backend.get('nothing', { offset, length: 10 }), Buffer.alloc(0), `of nothing at ${offset}`)
  })

  check('a second put replaces, one that may not leaves what is there', async (backend) => {
    await backend.put('p/x', Buffer.from('first'))
    assert.equal(await backend.put('p/x', Buffer.from('2')), true)
    assert.equal(String(await backend.get('p/x')), '2')
    assert.equal(await backend.put('p/x', Buffer.from('third'), { ifAbsent: true }), false)
    assert.equal(String(await backend.get('p/x')), '2')
    await backend.delete('p/x')
    assert.equal(await backend.get('p/x'), null)
    assert.equal(await backend.put('p/x', Buffer.from('fourth'), { ifAbsent: true }), true)
    assert.equal(String(await backend.get('p/x')), 'fourth')
  })

  check('of many who put one name at once only if it is not there, one wins', async (backend) => {
    for (let round = 0; round < 4; round++) {
      const name = `race/${round}`
      const won = await Promise.all(Array.from({ length: 8 }, (_, who) => backend.put(name, Buffer.from(`${who}`), { ifAbsent: true })))
      assert.equal(won.filter(Boolean).length, 1, name)
      assert.equal(String(await backend.get(name)), String(won.indexOf(true)), name)
    }
  })

  check('whoever reads while others write sees one whole version', async (backend) => {
    const versions = [1, 2, 3].map((byte) => Buffer.alloc(300_000, byte))
    await backend.put('v', versions[0] ?? Buffer.alloc(0))
    const writing = versions.flatMap((bytes) => [backend.put('v', bytes), backend.put('v', bytes)])
    for (const seen of await Promise.all(Array.from({ length: 20 }, () => backend.get('v')))) assert.ok(versions.some((bytes) => seen?.equals(bytes)))
    await Promise.all(writing)
  })

  check('a folder lists everything below it, page after page, and nothing beside it', async (backend) => {
    const names = Array.from({ length: MANY }, (_, index) => `many/${String(index % 7)}/${index}`)
    await eachOf(names, (name) => backend.put(name, Buffer.from('x'), { fleeting: true }))
    for (const name of ['many-more/x', 'manyx', 'mane/x', 'n']) await backend.put(name, Buffer.from('beside'))
    assert.deepEqual(Object.keys(await sizesBelow(backend, 'many')).sort(), names.toSorted())
    assert.deepEqual(await sizesBelow(backend, 'many/3/10'), {})
    assert.deepEqual(await sizesBelow(backend, 'man'), {})
    assert.equal(Object.keys(await sizesBelow(backend, '')).length, MANY + 4)
    const gone = names.filter((_, index) => index % 2 === 0)
    await eachOf(gone, (name) => backend.delete(name))
    assert.equal(Object.keys(await sizesBelow(backend, 'many')).length, MANY - gone.length)
  })

  check('names are taken as they are', async (backend) => {
    const names = ['format', 'keys/prj_01m84wxtd0', 'projects/prj_0/segments/0a/0a1b2c', 'projects/prj_0/intents/00ff-17-ab', 'A-Z_a.z', '..x', 'a.tmp/b']
    for (const name of names) await backend.put(name, Buffer.from(name))
    for (const name of names) assert.equal(String(await backend.get(name)), name)
    assert.deepEqual(Object.keys(await sizesBelow(backend, '')).sort(), names.toSorted())
  })
}

async function sizesBelow(backend: Backend, folder: string): Promise<Record<string, number>> {
  const found: Record<string, number> = {}
  for await (const { name, bytes } of backend.list(folder)) {
    assert.ok(!(name in found), `${name} is listed twice`)
    found[name] = bytes
  }
  return found
}

async function eachOf(names: readonly string[], work: (name: string) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < names.length; from += AT_ONCE) await Promise.all(names.slice(from, from + AT_ONCE).map(work))
}
