import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { TreeChange } from '../substrates/substrate.ts'
import { capture, folderEntry, setUp } from './testing/place.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

test('what was captured of a tree is let go of while the rest of it is still coming', async (t) => {
  const { store } = await setUp(t)
  const seen: WeakRef<TreeChange>[] = []
  let held = Number.POSITIVE_INFINITY
  async function* changes(): AsyncGenerator<TreeChange, void> {
    for (let at = 0; at < 1_000; at++) {
      const change = folderEntry(`folder-${at}`)
      seen.push(new WeakRef(change))
      yield change
      await setImmediate()
    }
    collectGarbage()
    held = seen.filter((change) => change.deref() !== undefined).length
  }
  await capture(store, null, changes())
  assert.ok(held < 100, `${held} of 1000 are still held`)
})
