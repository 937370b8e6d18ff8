/** An agent dials for a command that waits for its machine: `GET /door/exec/{id}` as a WebSocket. */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { AutovibeError, asAutovibeError, type MachineId } from '@autovibe/contract'
import { Leg } from '../exec/leg.ts'
import { acceptUpgrade, refuseUpgrade } from '../exec/upgrade.ts'
import type { DoorContext } from './door.ts'
import { type RateLimits, rateLimited } from './rate-limits.ts'
import { assertToken } from './token.ts'

export type UpgradeHandler = (machineId: MachineId, request: IncomingMessage, socket: Duplex, head: Buffer) => Promise<void>

/** Never rejects: what goes wrong is the machine's answer. */
export function execUpgrades({ db, execs, log }: Pick<DoorContext, 'db' | 'execs' | 'log'>, limits: RateLimits): UpgradeHandler {
  return async (machineId, request, socket, head) => {
    // The machine may hang up while its token is looked up.
    const drop = (): void => void socket.destroy()
    socket.on('error', drop)
    try {
      const waitMs = limits.waitMs(machineId, '/door/exec/:id', request.headers)
      if (waitMs > 0) {
        const { error, retryAfterSeconds } = rateLimited(waitMs)
        return refuseUpgrade(socket, error, { 'retry-after': retryAfterSeconds })
      }
      await assertToken(db, machineId, request.headers.authorization)
      const [, id] = /^\/door\/exec\/([a-z0-9_]{1,60})$/.exec(request.url ?? '') ?? []
      if (id === undefined) throw new AutovibeError('not_found', 'The door has no such place.')
      const exec = execs.forMachine(machineId, id)
      socket.off('error', drop)
      acceptUpgrade(request, socket, head, (webSocket) => exec.joinMachine(new Leg(webSocket)))
    } catch (thrown) {
      const error = asAutovibeError(thrown)
      if (error.status >= 500) log.error({ err: thrown, machine: machineId }, 'the door failed')
      refuseUpgrade(socket, error)
    }
  }
}
