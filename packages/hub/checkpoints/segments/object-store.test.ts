import assert from 'node:assert/strict'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import { openFolder } from '../backends/folder.ts'
import { changesOf } from '../testing/folder-changes.ts'
import { capture, keyOf, PROJECT, put, segmentFiles, setUp } from '../testing/place.ts'
import { projectFolder } from './names.ts'
import { ObjectStore } from './object-store.ts'

test('a segment that several look at in the same moment is counted once', async (t) => {
  const { dataDir, store } = await setUp(t)
  const objects = await ObjectStore.open(await openFolder(join(dataDir, 'store'), { isOwn: false }), projectFolder(PROJECT), await keyOf(dataDir))
  for (let count = 0; count < 20; count++) await capture(store, null, changesOf(put(`f${count}`, `${count}`)))
  await Promise.all([objects.refresh(), objects.refresh(), objects.refresh()])
  const ids = (await segmentFiles(dataDir)).map((path) => basename(path))
  assert.deepEqual(objects.segments.map(({ id }) => id).sort(), ids.sort())
})
