/** Every operation there is; the fault harness and the golden list of steps iterate it. */
import { archiveMachine } from './archive-machine.ts'
import { createCheckpoint } from './create-checkpoint.ts'
import { destroyMachine } from './destroy-machine.ts'
import { registryOf } from './engine/define.ts'
import { expireCheckpoints } from './expire-checkpoints.ts'
import { failMachine } from './fail-machine.ts'
import { forkCheckpoint } from './fork-checkpoint.ts'
import { importCheckpoint } from './import-checkpoint.ts'
import { removeArchive } from './remove-archive.ts'
import { removeOrphan } from './remove-orphan.ts'
import { rollbackMachine } from './rollback-machine.ts'
import { runPrompt } from './run-prompt.ts'
import { spawnMachine } from './spawn-machine.ts'
import { startMachine } from './start-machine.ts'
import { stopMachine } from './stop-machine.ts'
import { storeCheckpoint } from './store-checkpoint.ts'
import { verifyCheckpoint } from './verify-checkpoint.ts'

export const registry = registryOf([
  spawnMachine,
  runPrompt,
  createCheckpoint,
  storeCheckpoint,
  verifyCheckpoint,
  importCheckpoint,
  forkCheckpoint,
  rollbackMachine,
  stopMachine,
  startMachine,
  destroyMachine,
  failMachine,
  removeOrphan,
  expireCheckpoints,
  archiveMachine,
  removeArchive,
])
