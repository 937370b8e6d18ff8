/** A process that captures a folder into a store and says each change that it takes up, so that a test can kill it in the middle: node capture-child.ts DATA_DIR FOLDER */
import { systemRuntime } from '../../runtime.ts'
import type { TreeChange } from '../../substrates/substrate.ts'
import { createCheckpointStore } from '../directory-store.ts'
import { folderChanges } from './folder-changes.ts'

const [dataDir, folder] = process.argv.slice(2)
if (dataDir === undefined || folder === undefined) throw new Error('DATA_DIR and FOLDER are needed')

async function* announced(changes: AsyncIterable<TreeChange>): AsyncGenerator<TreeChange, void> {
  for await (const change of changes) {
    process.stdout.write('change\n')
    yield change
  }
}

const store = await createCheckpointStore({ dataDir, runtime: systemRuntime })
const captured = await store.capture(null, announced(folderChanges(folder)), new AbortController().signal)
process.stdout.write(`${captured.manifestSha256}\n`)
