/** A process that captures a folder into a store and says each change that it takes up, so that a test can kill it in the middle: node capture-child.ts DATA_DIR FOLDER */
import type { TreeChange } from '../../substrates/substrate.ts'
import { folderChanges } from './folder-changes.ts'
import { capture, openStore } from './place.ts'

const [dataDir, folder] = process.argv.slice(2)
if (dataDir === undefined || folder === undefined) throw new Error('DATA_DIR and FOLDER are needed')

async function* announced(changes: AsyncIterable<TreeChange>): AsyncGenerator<TreeChange, void> {
  for await (const change of changes) {
    process.stdout.write('change\n')
    yield change
  }
}

const captured = await capture(await openStore(dataDir), null, announced(folderChanges(folder)))
process.stdout.write(`${captured.manifestSha256}\n`)
