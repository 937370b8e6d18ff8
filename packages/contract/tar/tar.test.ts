/** Our tar, written and read back; and what nobody should have to read. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { tarEnd, tarPadding } from './entry.ts'
import { readBlock } from './read-header.ts'
import { type ReadEntry, readTar } from './read-tar.ts'
import { joined, tarComment, tarHeader, type WritableEntry } from './write-header.ts'

const name = fc.uint8Array({ minLength: 1, maxLength: 120 }).filter((bytes) => bytes.every((byte) => byte !== 0 && byte !== 0x2f))
const path = fc
  .array(name, { minLength: 1, maxLength: 8 })
  .map((names) => joined(names.flatMap((part, index) => (index === 0 ? [part] : [Uint8Array.of(0x2f), part]))))
const mtimeMs = fc.oneof(fc.integer({ min: -1e12, max: 2e12 }), fc.double({ noNaN: true, noDefaultInfinity: true, min: -2e14, max: 2e14 })).map((ms) => ms + 0)
const content = fc.uint8Array({ maxLength: 1500 })
interface Made {
  readonly entry: WritableEntry
  readonly content: Uint8Array
}
const anyEntry: fc.Arbitrary<Made> = fc
  .record({
    path,
    mode: fc.integer({ min: 0, max: 0o7777 }),
    mtimeMs,
    content,
    target: path,
    type: fc.constantFrom('file' as const, 'directory' as const, 'symlink' as const, 'link' as const),
  })
  .map(({ content: bytes, target, ...entry }) => {
    const own = entry.type === 'file' ? bytes : new Uint8Array(0)
    return { entry: { ...entry, size: own.length, target: entry.type === 'symlink' || entry.type === 'link' ? target : null }, content: own }
  })

const tarOf = (made: readonly Made[]): Uint8Array =>
  joined([tarComment('a test'), ...made.flatMap(({ entry, content: bytes }) => [tarHeader(entry), bytes, tarPadding(bytes.length)]), tarEnd()])

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array, void> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function readAll(bytes: Uint8Array, size = 700): Promise<{ entry: Omit<ReadEntry, 'content' | 'offset'>; content: Uint8Array }[]> {
  const all = []
  for await (const { content: chunks, offset: _, ...entry } of readTar(pieces(bytes, size))) {
    const parts: Uint8Array[] = []
    for await (const chunk of chunks) parts.push(Uint8Array.from(chunk))
    all.push({ entry: { ...entry, path: Uint8Array.from(entry.path), target: entry.target && Uint8Array.from(entry.target) }, content: joined(parts) })
  }
  return all
}

const invalid = { code: 'archive.invalid' }
const plain = (more: Partial<WritableEntry> = {}): WritableEntry => ({
  path: Buffer.from('a'),
  type: 'file',
  mode: 0o644,
  size: 0,
  mtimeMs: 1000,
  target: null,
  ...more,
})

describe('a tar', () => {
  test('gives back every name, mode, time, link and content that was put in, to the last digit and byte', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyEntry, { maxLength: 6 }), fc.integer({ min: 1, max: 3000 }), async (made, size) => {
        const wanted = made.map(({ entry, content: bytes }) => ({ entry: { ...entry, path: Uint8Array.from(entry.path) }, content: bytes }))
        assert.deepEqual(await readAll(tarOf(made), size), wanted)
      }),
      { numRuns: 150 },
    )
  })

  test('that is cut off anywhere is refused', async () => {
    const whole = tarOf([{ entry: plain({ path: Buffer.alloc(300, 'x'), size: 600 }), content: new Uint8Array(600) }])
    // The second block of zeros at the end may be missing, as it is in some tools' archives.
    for (let length = 0; length < whole.length - 1024; length += 37) await assert.rejects(readAll(whole.subarray(0, length)), invalid, `cut at ${length}`)
  })

  test('with one changed bit in a header is refused', async () => {
    const whole = tarOf([{ entry: plain(), content: new Uint8Array(0) }])
    const start = tarComment('a test').length
    // A checksum field may be written in several ways, and its last byte says nothing.
    for (let at = start; at < start + 148; at++) {
      const other = Uint8Array.from(whole)
      other[at] = (other[at] ?? 0) ^ 1
      await assert.rejects(readAll(other), invalid, `byte ${at - start}`)
    }
  })

  test('with something after its end, a sparse file or a negative size is refused', async () => {
    const one = tarOf([{ entry: plain(), content: new Uint8Array(0) }])
    await assert.rejects(readAll(joined([one, tarHeader(plain())])), invalid)
    await assert.rejects(readAll(joined([withRecords('22 GNU.sparse.major=1\n'), tarHeader(plain()), tarEnd()])), invalid)
    const negative = tarHeader(plain())
    negative.set(new Uint8Array(12).fill(0xff), 124)
    await assert.rejects(readAll(joined([resummed(negative), tarEnd()])), invalid)
  })

  test('whose extended headers lie about their lengths, are too large or never end is refused', async () => {
    for (const records of ['99 path=a\n', '0 path=a\n', '9 path=ab\n', '-1 path=a\n', 'x', '10 patha=\n\n', '13 size=ten\n\n'])
      await assert.rejects(readAll(joined([withRecords(records), tarHeader(plain()), tarEnd()])), invalid, records)
    await assert.rejects(readAll(joined([...Array.from({ length: 9 }, () => withRecords('10 path=b\n')), tarHeader(plain()), tarEnd()])), invalid)
    const huge = tarComment('x')
    huge.set(Buffer.from('77777777777'), 124)
    await assert.rejects(readAll(joined([resummed(huge), tarEnd()])), invalid)
  })

  test('a reader that leaves early lets the source end', async () => {
    let ended = false
    async function* source(): AsyncGenerator<Uint8Array, void> {
      try {
        yield* pieces(tarOf([{ entry: plain(), content: new Uint8Array(0) }]), 512)
      } finally {
        ended = true
      }
    }
    for await (const _ of readTar(source())) break
    assert.ok(ended)
  })
})

/** An extended header with these very records. */
function withRecords(records: string): Uint8Array {
  const header = tarComment('x').slice(0, 512)
  header.set(Buffer.from('x'), 156)
  header.set(Buffer.from(records.length.toString(8).padStart(11, '0')), 124)
  return joined([resummed(header), Buffer.from(records), tarPadding(records.length)])
}

/** With the checksum that its bytes have now. */
function resummed(header: Uint8Array): Uint8Array {
  const sum = header.subarray(0, 512).reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0)
  header.set(Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `), 148)
  return header
}

test('what is no tar at all is called so, whatever stands where a checksum would', () => {
  assert.throws(() => readBlock(Buffer.alloc(512, 'root:x:0:0:root:/root:/bin/bash\n')), { code: 'archive.invalid', message: /no tar/ })
})
