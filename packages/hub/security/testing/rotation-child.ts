/** A process that goes so many steps into a rotation of the master key and is then killed: node rotation-child.ts DATA_DIR STORE_DIR DATABASE_ADDRESS STEPS */
import { openFolderStore } from '../../checkpoints/create-checkpoint-store.ts'
import { type DatabaseAddress, openDatabase } from '../../database/database.ts'
import { forgetPreviousKey, loadMasterKeys, ROTATION_STEPS } from '../master-key.ts'
import { resealSecrets } from '../reseal.ts'
import { createSecrets } from '../secrets.ts'

const [dataDir, storeDir, address, steps] = process.argv.slice(2)
if (dataDir === undefined || storeDir === undefined || address === undefined || steps === undefined)
  throw new Error('DATA_DIR, STORE_DIR, DATABASE_ADDRESS and STEPS are needed')
let left = Number(steps)
const { db } = openDatabase(JSON.parse(address) as DatabaseAddress, { max: 1, onError: () => undefined })

function dieWhenDone(): void {
  if (left-- === 0) process.kill(process.pid, 'SIGKILL')
}

dieWhenDone()
for (const step of ROTATION_STEPS) {
  await step(dataDir)
  dieWhenDone()
}
const keys = await loadMasterKeys(dataDir, {})
const secrets = createSecrets(keys.current, keys.previous)
await (await openFolderStore(storeDir, secrets)).rewrapKeys()
await db.transaction().execute(async (tx) => {
  await resealSecrets(tx, secrets)
  // Everything is sealed again, and none of it is committed.
  dieWhenDone()
})
dieWhenDone()
await forgetPreviousKey(dataDir)
dieWhenDone()
throw new Error('more steps than a rotation has')
