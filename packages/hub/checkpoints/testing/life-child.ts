/** A process that lives the life of a store until it kills itself in the middle of one of its writes: node life-child.ts DATA_DIR KEPT AT AFTER_MS */
import { writeSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import type { Backend } from '../backends/backend.ts'
import { openFolder } from '../backends/folder.ts'
import { createCheckpointStore } from '../create-checkpoint-store.ts'
import { type Kept, PROJECT, SECRETS } from './place.ts'
import { live } from './small-life.ts'

const [dataDir = '', kept = '[]', at = '0', afterMs = '0'] = process.argv.slice(2)
let calls = 0

/** The call goes on until the signal comes, wherever it is then. */
function mortal<T>(work: () => Promise<T>): Promise<T> {
  const working = work()
  if (calls++ === Number(at)) {
    if (Number(afterMs) === 0) process.kill(process.pid, 'SIGKILL')
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), Number(afterMs))
  }
  return working
}

const folder = await openFolder(join(dataDir, 'store'), { isOwn: true })
const backend: Backend = {
  place: folder.place,
  put: (name, bytes, options) => mortal(() => folder.put(name, bytes, options)),
  get: (name, range) => folder.get(name, range),
  delete: (name) => mortal(() => folder.delete(name)),
  list: (name) => folder.list(name),
}
const store = (await createCheckpointStore({ backend, secrets: SECRETS, isOwn: true })).of(PROJECT)
const known = z.array(z.custom<Kept>()).parse(JSON.parse(kept))
// Written through at once: what was said before the end has been said.
await live(store, known, (now) => writeSync(1, `${JSON.stringify(now)}\n`))
