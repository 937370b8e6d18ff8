/** The Hub's money path as a process that can be killed: the lock of the database, the take-over, the ledger and the gateway behind a socket for each machine, as main.ts composes them. */
import type { BudgetId, MachineId } from '@autovibe/contract'
import { type DatabaseAddress, openDatabase } from '../../packages/hub/database/database.ts'
import { createDoorListener } from '../../packages/hub/door/listener.ts'
import { createGateway } from '../../packages/hub/gateway/gateway.ts'
import { lockDatabase } from '../../packages/hub/instance-lock.ts'
import { createLedger } from '../../packages/hub/ledger/create-ledger.ts'
import { createLogger } from '../../packages/hub/observability/logger.ts'
import { systemRuntime as runtime } from '../../packages/hub/runtime.ts'
import { takeOver } from '../../packages/hub/take-over.ts'
import { answer, configOf, tell } from './party.ts'

export interface GatewayConfig {
  readonly address: DatabaseAddress
  readonly sockets: readonly { readonly machineId: MachineId; readonly path: string }[]
}
/** A limit that a person raises. */
export interface Raise {
  readonly budgetId: BudgetId
  readonly limit: bigint
  readonly version: bigint
}

const POOL_MAX = 24
const { address, sockets } = configOf<GatewayConfig>()
const logger = createLogger({ level: 'error' })
const onError = (err: Error) => logger.error({ err }, 'a database connection broke')

const unlock = await lockDatabase(address, { onError, onTaken: (err) => logger.error({ err }, 'the database was taken') })
tell('locked')
const database = openDatabase(address, { max: POOL_MAX, onError })
const { db } = database
const ledger = createLedger({ ...database, runtime })
await takeOver({ db, ledger, runtime }, logger)
const gateway = createGateway({ db, address, ledger, runtime, secrets: { open: (sealed) => sealed.toString() }, logger })

const listener = createDoorListener((machineId, request, response) => void gateway.handle(machineId, request, response))
for (const { machineId, path } of sockets) await listener.listen(machineId, path)
answer({
  raise: ({ budgetId, limit, version }: Raise) => db.transaction().execute((tx) => ledger.changeBudget(tx, budgetId, { limit }, version)),
  async end() {
    await gateway.close()
    await listener.closeAll()
    await database.close()
    await unlock()
  },
})
tell('ready')
