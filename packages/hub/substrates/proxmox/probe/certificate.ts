/** The certificate that a door shows, read before anything is sent to it. */
import { isIP } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import { AutovibeError, type DoorCertificate } from '@autovibe/contract'
import { oneLine } from '@autovibe/core/proxmox/failures.ts'

const PORT = 8006

/** `substrate.unavailable` where nothing answers, or what answers does not speak TLS. */
export async function certificateOf(url: string, signal: AbortSignal): Promise<DoorCertificate> {
  const { hostname, port } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, '')
  // Whether it is the right one a person decides: here nothing is refused, and nothing is sent.
  const socket = connect({ host, port: Number(port) || 443, rejectUnauthorized: false, ...(isIP(host) === 0 ? { servername: host } : {}) })
  const end = (): unknown => socket.destroy(signal.reason)
  signal.addEventListener('abort', end, { once: true })
  try {
    signal.throwIfAborted()
    await shaken(socket)
    const certificate = socket.getPeerX509Certificate()
    if (certificate === undefined) throw new Error('it shows no certificate')
    return {
      url,
      fingerprint: certificate.fingerprint256,
      subject: oneLine(certificate.subject),
      issuer: oneLine(certificate.issuer),
      valid_to: new Date(certificate.validTo).toISOString(),
      trusted: socket.authorized,
    }
  } catch (cause) {
    const why = signal.aborted ? 'no answer in time' : cause instanceof Error ? cause.message : String(cause)
    throw new AutovibeError('substrate.unavailable', `No certificate came from ${url}: ${oneLine(why)}.`, {
      cause,
      fix: port === '' ? `Proxmox listens on ${PORT}: https://${hostname}:${PORT}` : 'See whether pveproxy runs on the node: systemctl status pveproxy',
    })
  } finally {
    signal.removeEventListener('abort', end)
    socket.destroy()
  }
}

const shaken = (socket: TLSSocket): Promise<void> =>
  new Promise((resolve, reject) => {
    socket.once('secureConnect', resolve)
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('it closed the connection')))
  })
