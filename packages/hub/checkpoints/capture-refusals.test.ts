import assert from 'node:assert/strict'
import { mkdir, readdir, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import type { TreeChange } from '../substrates/substrate.ts'
import { changesOf, folderChanges } from './testing/folder-changes.ts'
import { capture, put, refFiles, setUp, withCode } from './testing/place.ts'

for (const path of ['', '/etc/passwd', '../x', 'a/../../x', './x', 'a//b', 'a\0b', 'a\\x2fb', 'n'.repeat(256), 'missing/x']) {
  test(`a tree with the path ${JSON.stringify(path.slice(0, 20))} is refused, and nothing of it is opened`, async (t) => {
    const { dataDir, store } = await setUp(t)
    const isRead = path === 'missing/x'
    const change: TreeChange = isRead ? put(path, 'x') : ({ ...put(path, 'x'), kind: 'put', open: () => assert.fail('opened') } as TreeChange)
    await assert.rejects(capture(store, null, changesOf(change)), withCode('substrate.failed', false))
    await assert.rejects(capture(store, null, changesOf({ kind: 'remove', path: path === 'missing/x' ? '..' : path })), withCode('substrate.failed', false))
    assert.deepEqual(await refFiles(dataDir), [])
  })
}

test('a file that grows, shrinks, vanishes or cannot be read fails the capture, retryable where a repeat may help', async (t) => {
  const { dataDir, tree, store, folder } = await setUp(t)
  const sized = (bytes: Uint8Array, size: number): TreeChange => put('f', bytes, { size })
  await mkdir(folder('d'))
  for (const size of [10, 2_000_000]) {
    const bytes = Buffer.alloc(size, 'x')
    await assert.rejects(capture(store, null, changesOf(sized(bytes, size - 1))), withCode('substrate.failed', true))
    await assert.rejects(capture(store, null, changesOf(sized(bytes, size + 1))), withCode('substrate.failed', true))
    await writeFile(join(tree, 'f'), bytes)
    const changes: TreeChange[] = []
    for await (const change of folderChanges(tree)) changes.push(change)
    await unlink(join(tree, 'f'))
    await assert.rejects(capture(store, null, changesOf(...changes)), withCode('substrate.failed', true))
    const isFolder = {
      ...put('f', bytes),
      open: () =>
        new Readable({
          read() {
            this.destroy(Object.assign(new Error('no'), { code: 'EACCES' }))
          },
        }),
    } as TreeChange
    await assert.rejects(capture(store, null, changesOf(isFolder)), withCode('substrate.failed', false))
  }
  assert.deepEqual(await readdir(join(dataDir, 'store', 'tmp')), [])
})

test('an endless file is not read beyond the size it was announced with', async (t) => {
  const { store } = await setUp(t)
  for (const size of [100_000, 2_000_000]) {
    let given = 0
    const endless = (): Readable =>
      new Readable({
        read() {
          given += 65_536
          this.push(Buffer.alloc(65_536))
        },
      })
    await assert.rejects(capture(store, null, changesOf({ ...put('f', '', { size }), open: endless } as TreeChange)), withCode('substrate.failed', true))
    assert.ok(given < size + 2_000_000, String(given))
  }
})

test('a capture that is aborted ends with the reason, even when the tree or a file does not answer', async (t) => {
  const { dataDir, store } = await setUp(t)
  const reason = new AutovibeError('operation.cancelled', 'Cancelled.')
  const silent = (): Readable =>
    new Readable({
      read() {
        stop.abort(reason)
      },
    })
  let stop = new AbortController()
  for (const size of [10, 2_000_000]) {
    stop = new AbortController()
    await assert.rejects(capture(store, null, changesOf({ ...put('f', '', { size }), open: silent } as TreeChange), stop.signal), reason)
  }
  const hanging = {
    [Symbol.asyncIterator]: () => ({
      next: () => {
        stop.abort(reason)
        return new Promise<never>(() => undefined)
      },
    }),
  }
  stop = new AbortController()
  await assert.rejects(capture(store, null, hanging, stop.signal), reason)
  await assert.rejects(capture(store, null, changesOf(), stop.signal), reason)
  assert.deepEqual(await readdir(join(dataDir, 'store', 'tmp')), [])
})

test('an error of the producer of changes fails the capture as it is', async (t) => {
  const { store } = await setUp(t)
  const gone = new AutovibeError('substrate.snapshot_gone', 'Gone.')
  async function* failing(): AsyncGenerator<TreeChange, void> {
    yield put('a', 'a')
    throw gone
  }
  await assert.rejects(capture(store, null, failing()), gone)
})
