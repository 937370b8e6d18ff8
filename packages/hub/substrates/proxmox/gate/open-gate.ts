/** The gate: where the guests of machines that are VMs find their Hub. It lets in whom it invited, keeps their links, and joins their streams to the machine's own door. */
import { mkdir } from 'node:fs/promises'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import { AutovibeError, decodeInvitation, encodeInvitation, GuestInvitation, type MachineId } from '@autovibe/contract'
import type { Database } from '../../../database/database.ts'
import type { DoorListener } from '../../substrate.ts'
import type { Guest, GuestLinks, Invitation } from '../guest-links.ts'
import { Admissions, type GatePlace } from './admissions.ts'
import { DoorStreams } from './door-streams.ts'
import { type KeySealing, keptCertificate } from './kept-certificate.ts'
import type { GuestTimes } from './linked-guest.ts'
import { Links } from './links.ts'
import { type Received, type ReceptionLimits, reception } from './reception.ts'

/** Pino's shape. */
export interface GateLogger {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface GateOptions {
  /** Port 0: any that is free. */
  readonly listen: { readonly host: string; readonly port: number }
  /** Where machines reach it, `host:port`; left out: where it listens. */
  readonly advertised?: string
  readonly db: Database
  readonly sealing: KeySealing
  /** The Hub's; the gate has the folder `gate` in it, for sockets. Short enough that a socket beneath it can be bound. */
  readonly dataDir: string
  readonly door: DoorListener
  readonly logger: GateLogger
  /** For tests, which have less patience. */
  readonly limits?: Partial<ReceptionLimits & GuestTimes>
}

export interface Gate extends GuestLinks {
  /** Where machines reach it. */
  readonly address: string
  /** SHA-256 of its certificate, in base64url. */
  readonly fingerprint: string
  readonly port: number
  close(): Promise<void>
}

const LIMITS: ReceptionLimits & GuestTimes = { helloMs: 10_000, unknownMost: 256, unknownMostOfOne: 64, stateMs: 5_000, stallMs: 60_000 }

/** `substrate.unavailable` when it cannot listen there. */
export async function openGate(options: GateOptions): Promise<Gate> {
  const folder = join(options.dataDir, 'gate')
  const doors = join(folder, 'doors')
  const placed = options.advertised ?? endpoint(options.listen)
  const certificate = await keptCertificate({ ...options, folder, address: placed, now: new Date() })
  await mkdir(doors, { recursive: true, mode: 0o700 })
  const limits = { ...LIMITS, ...options.limits }
  const admissions = await Admissions.open(options.db)
  const links = new Links(limits)
  const streams = new DoorStreams()
  const doorPath = (machineId: MachineId): string => join(doors, `${machineId}.sock`)

  const receive = async ({ hello, socket, welcome, last }: Received): Promise<void> => {
    if (hello.wants === 'register') {
      const registered = await admissions.register(hello.secret, hello.claim, hello.version === 2)
      if (registered === null) return last({ is: 'refused' })
      if (registered.isFirst) options.logger.info({ machine_id: registered.machineId }, 'a guest has registered')
      if (registered.isFirst && hello.version === 1)
        options.logger.warn(
          { machine_id: registered.machineId },
          'the guest is that of an older template: a clone of its disk can speak for it until the template is made anew',
        )
      return last({ is: 'registered', machine: registered.machineId, token: registered.token })
    }
    const machineId = admissions.machineWith(hello.token, hello.secret)
    if (machineId === null) return last({ is: 'refused' })
    if (hello.wants === 'door') {
      if (!streams.hasRoom(machineId)) return last({ is: 'refused' })
      await welcome({ is: 'open' })
      return streams.join(machineId, socket, doorPath(machineId))
    }
    await options.door.listen(machineId, doorPath(machineId))
    await welcome({ is: 'linked', machine: machineId })
    // It may have been forgotten meanwhile.
    if (admissions.machineWith(hello.token, hello.secret) === null) return options.door.close(machineId).finally(() => socket.destroy())
    links.add(machineId, socket)
    options.logger.info({ machine_id: machineId }, 'a guest is linked')
  }

  const server = reception(certificate, limits, receive)
  const { promise: listening, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(options.listen.port, options.listen.host, resolve)
  await listening.catch((error: Error) => {
    throw new AutovibeError(
      'substrate.unavailable',
      `The gate for machines cannot listen on ${options.listen.host}:${options.listen.port}: ${error.message}.`,
      { cause: error },
    )
  })
  server.on('error', (error) => options.logger.warn({ err: error }, 'the gate for machines met an error'))
  const { port } = server.address() as AddressInfo
  const place: GatePlace = { address: options.advertised ?? endpoint({ ...options.listen, port }), fingerprint: certificate.fingerprint }
  const isHere = ({ address, fingerprint }: GatePlace): boolean => address === place.address && fingerprint === place.fingerprint
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })

  return {
    ...place,
    port,
    async invite(machineId): Promise<Invitation> {
      const invitation = GuestInvitation.safeParse({ ...place, secret: await admissions.invite(machineId, place) })
      if (invitation.success) return encodeInvitation(invitation.data)
      throw new AutovibeError('substrate.failed', `Machines cannot be told the gate’s address ${place.address}.`, {
        fix: 'Give one of the form host:port, of at most 80 characters.',
      })
    },
    isValid(machineId, text) {
      const invitation = decodeInvitation(text)
      return invitation !== null && isHere(invitation) && admissions.isLatest(machineId, invitation.secret)
    },
    leadsHere(machineId) {
      const told = admissions.placeTold(machineId)
      return told !== null && isHere(told)
    },
    linked: (machineId, withinMs, signal): Promise<Guest> => links.within(machineId, withinMs, signal),
    current: (machineId) => links.current(machineId),
    cut(machineId) {
      links.end(machineId)
      streams.end(machineId)
    },
    async forget(machineId) {
      await admissions.forget(machineId)
      links.end(machineId)
      streams.end(machineId)
      await options.door.close(machineId)
    },
    async close() {
      const { promise: closed, resolve: done } = Promise.withResolvers<void>()
      server.close(() => done())
      links.endAll()
      streams.endAll()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

const endpoint = ({ host, port }: { readonly host: string; readonly port: number }): string => `${host.includes(':') ? `[${host}]` : host}:${port}`
