/** Opens a connection to the Hub's gate: nothing is said before the certificate is known to be the one that the invitation names. */
import { once } from 'node:events'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { AutovibeError, GUEST_LIMITS, type GuestHello, type GuestInvitation, GuestWelcome } from '@autovibe/contract'
import { readLine, writeLine } from '@autovibe/core/guest/lines.ts'

export type Gate = Pick<GuestInvitation, 'address' | 'fingerprint'>

const TIMEOUT_MS = 10_000
/** The link itself notices that the other end is silent; for the door's streams the kernel does. */
const KEEP_ALIVE_MS = 30_000

export interface Dialed {
  readonly socket: TLSSocket
  readonly welcome: GuestWelcome
}

/** `substrate.unavailable` when the gate does not answer, or another does. */
export async function dial(gate: Gate, hello: GuestHello, signal: AbortSignal): Promise<Dialed> {
  const { host, port } = hostAndPort(gate.address)
  const within = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)])
  // Its authority is the fingerprint. A session that is resumed would show no certificate.
  const options: ConnectionOptions & { allowHalfOpen: boolean } = {
    ...{ host, port, rejectUnauthorized: false, checkServerIdentity: () => undefined },
    minVersion: 'TLSv1.3',
    // Only the door's two ways end one by one.
    allowHalfOpen: hello.wants === 'door',
  }
  const socket = connect(options)
  socket.setNoDelay(true)
  socket.setKeepAlive(true, KEEP_ALIVE_MS)
  try {
    await once(socket, 'secureConnect', { signal: within })
    if (fingerprintOf(socket) !== gate.fingerprint) throw new Error('another certificate than the invitation names')
    await writeLine(socket, JSON.stringify(hello), within)
    const welcome = GuestWelcome.parse(JSON.parse(await readLine(socket, GUEST_LIMITS.helloBytes, within)))
    return { socket, welcome }
  } catch (error) {
    socket.on('error', () => undefined)
    socket.destroy()
    throw new AutovibeError('substrate.unavailable', 'The Hub’s gate does not answer.', { internal: String(error), cause: error })
  }
}

function fingerprintOf(socket: TLSSocket): string | null {
  const hex = socket.getPeerX509Certificate()?.fingerprint256.replaceAll(':', '')
  return hex === undefined ? null : Buffer.from(hex, 'hex').toString('base64url')
}

function hostAndPort(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(':')
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(address.slice(colon + 1)) }
}
