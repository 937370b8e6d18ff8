/** The way out of a machine: an HTTP CONNECT proxy on its own socket, to what its project allows and to nothing else. Every attempt is recorded, every byte counted. */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { AutovibeError, asAutovibeError, type EventType, type Json, type MachineId } from '@autovibe/contract'
import { destinationText } from '@autovibe/core/egress/destination.ts'
import type { Logger } from 'pino'
import { BoundedEvents } from '../database/bounded-events.ts'
import type { Database, DatabaseAddress } from '../database/database.ts'
import { openListener } from '../database/listener.ts'
import { storableText } from '../database/storable.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { Runtime } from '../runtime.ts'
import { sendRefusal } from './answer.ts'
import { type Caller, findCaller, tokenOf } from './callers.ts'
import { LIMITS } from './limits.ts'
import { type Cap, Meter } from './meter.ts'
import type { Network } from './network.ts'
import { AddressRefused, openPassage, ruleFor } from './passage.ts'
import { destinationOf, Tunnel } from './tunnel.ts'
import { Tunnels } from './tunnels.ts'

export interface EgressOptions {
  readonly db: Database
  /** Where the database tells of changes. */
  readonly address: DatabaseAddress
  readonly ledger: Ledger
  readonly runtime: Runtime
  readonly logger: Logger
  readonly network: Network
}

export interface Egress {
  /** Answers one CONNECT of a machine that its socket has identified; resolves when its tunnel is over, never rejects. */
  handle(machineId: MachineId, req: IncomingMessage, socket: Duplex, head: Buffer): Promise<void>
  /** Ends every tunnel; resolves when their bytes are charged. */
  close(): Promise<void>
}

/** See the triggers `callers_notify` of the schema; the payload is a machine, or nothing when all may have changed. */
const CHANNEL = 'autovibe_callers'

/** Opens the proxy. Its tunnels are looked at again whenever the database tells of a change, and after any time in which it could not tell. */
export function createEgress({ db, address, ledger, runtime, logger, network }: EgressOptions): Egress {
  const tunnels = new Tunnels<Tunnel>(runtime)
  const events = new BoundedEvents(db, runtime, LIMITS.eventsPerMinute)
  const underWay = new Set<Promise<void>>()
  let closed = false
  /** Grows with each change, so that what was decided before one is decided again after it. */
  let changes = 0
  /** Machines of which something has changed since their tunnels were looked at. */
  const concerned = new Set<MachineId>()
  let looking: Promise<void> | undefined
  const listener = openListener(address, CHANNEL, {
    name: 'autovibe-hub-egress',
    onNotify(machineId) {
      changes++
      for (const each of machineId === '' ? tunnels.machines() : [machineId as MachineId]) concerned.add(each)
      looking ??= lookAtConcerned().finally(() => {
        looking = undefined
      })
    },
    onError: (err) => logger.warn({ err }, 'the connection that tells of changes to egress broke'),
  })

  async function capOf({ budgetId }: Caller): Promise<Cap | undefined> {
    return budgetId && { budgetId, available: await ledger.available(budgetId) }
  }

  /** Those that may not be any more end. When nobody can say, they end too: a change was told of, and it may have been that one. */
  async function lookAgain(machineId: MachineId, tunnel: Tunnel): Promise<void> {
    try {
      const caller = await findCaller(db, machineId, tunnel.token)
      tunnel.look(caller, await capOf(caller))
    } catch (error) {
      if (!(error instanceof AutovibeError)) logger.error({ err: error, machine_id: machineId }, 'a tunnel could not be looked at again and was ended')
      tunnel.look(null, undefined)
    }
  }

  async function lookAtConcerned(): Promise<void> {
    // What is added meanwhile is visited too.
    for (const machineId of concerned) {
      concerned.delete(machineId)
      for (const tunnel of tunnels.of(machineId)) await lookAgain(machineId, tunnel)
    }
  }

  async function serve(machineId: MachineId, tunnel: Tunnel, req: IncomingMessage, head: Buffer): Promise<void> {
    const destination = destinationOf(req)
    const changesBefore = changes
    const caller = await findCaller(db, machineId, tunnel.token)
    const rule = ruleFor(caller, destination)
    const cap = await capOf(caller)
    if (cap && cap.available <= 0n) {
      const { met, raise } = await ledger.standing(cap.budgetId)
      throw new AutovibeError('budget.exhausted', met?.sentence ?? 'The budget of bytes is used up.', { fix: raise })
    }
    const passage = await openPassage(network, caller.project, destination, rule, tunnel.gone.signal)
    const text = destinationText(destination)
    tunnel.establish(destination, passage, new Meter({ db, ledger, subject: caller.subject, id: runtime.newId('event'), destination: text, cap }))
    if (closed) tunnel.end('hub')
    else if (changes !== changesBefore) await lookAgain(machineId, tunnel)
    if (tunnel.hasEnded) throw new AutovibeError('egress.not_allowed', `What allowed ${text} was taken back meanwhile.`)
    // Told before it is open, so that whoever sees what came of it also finds what allowed it.
    await tell('egress.allowed', machineId, { destination: text, address: passage.address.text, place: passage.place })
    await tunnel.carry(head, logger)
  }

  async function attempt(machineId: MachineId, req: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    // How it ends is told by its close.
    socket.on('error', () => undefined)
    const tunnel = new Tunnel(socket, tokenOf(req.headers['proxy-authorization']))
    try {
      if (closed) throw new AutovibeError('egress.unreachable', 'The Hub is shutting down.')
      tunnels.enter(machineId, tunnel)
      await serve(machineId, tunnel, req, head)
    } catch (thrown) {
      const error = asAutovibeError(thrown)
      if (error.code === 'internal') logger.error({ err: thrown, machine_id: machineId }, 'egress failed')
      await tellRefusal(machineId, req.url ?? '', error)
      if (tunnel.isEstablished) tunnel.end('broken')
      else sendRefusal(socket, error)
    } finally {
      tunnels.leave(machineId, tunnel)
    }
  }

  /** What the machine was told, and for people the address too. */
  async function tellRefusal(machineId: MachineId, asked: string, error: AutovibeError): Promise<void> {
    const where = error instanceof AddressRefused ? { address: error.address, place: error.place } : {}
    const fix = error.fix === undefined ? {} : { fix: error.fix }
    await tell('egress.refused', machineId, {
      destination: storableText(asked.slice(0, 300)),
      code: error.code,
      message: storableText(error.message),
      ...where,
      ...fix,
    })
  }

  async function tell(type: EventType, machineId: MachineId, data: Record<string, Json>): Promise<void> {
    await events.tell(type, machineId, data).catch((err: unknown) => logger.warn({ err, type }, 'an event of egress could not be told'))
  }

  return {
    handle(machineId, req, socket, head) {
      const served = attempt(machineId, req, socket, head)
      underWay.add(served)
      void served.finally(() => underWay.delete(served))
      return served
    },

    async close() {
      closed = true
      for (const machineId of tunnels.machines()) for (const tunnel of tunnels.of(machineId)) tunnel.end('hub')
      await Promise.all(underWay)
      await Promise.all([looking, listener.close()])
    },
  }
}
