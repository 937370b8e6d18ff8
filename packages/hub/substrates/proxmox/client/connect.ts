/** Connections to one door: the certificate is checked before a byte of a request leaves, against a pinned fingerprint or an authority. */
import type { TLSSocket } from 'node:tls'
import { buildConnector, Pool } from 'undici'
import { NoAnswer } from './errors.ts'
import type { ClientLimits } from './limits.ts'

export interface Door {
  /** https://host:8006 */
  readonly url: string
  /** SHA-256 of the certificate, as Proxmox shows it: pairs of hex digits with colons. Without it the certificate must be of `ca`, or of a public authority. */
  readonly fingerprint?: string | undefined
}

export function poolTo(door: Door, ca: string | undefined, limits: ClientLimits): Pool {
  const pinned = door.fingerprint === undefined ? undefined : plainFingerprint(door.fingerprint)
  // A resumed session shows no certificate that could be checked, so none is resumed.
  const options = { timeout: limits.connectMs, maxCachedSessions: 0, allowH2: false }
  const connect = buildConnector(pinned === undefined ? { ...options, ...(ca === undefined ? {} : { ca }) } : { ...options, rejectUnauthorized: false })
  return new Pool(door.url, {
    connections: limits.inFlight,
    pipelining: 1,
    headersTimeout: limits.headersMs,
    bodyTimeout: limits.bodyMs,
    connect: (target, callback) =>
      connect(target, (error, socket) => {
        if (error !== null)
          return callback(isOfCertificate(error) ? new NoAnswer('wrong certificate', `${door.url}: ${error.message}`) : notSent(door, error), null)
        const shown = pinned === undefined ? undefined : plainFingerprint((socket as TLSSocket).getPeerX509Certificate()?.fingerprint256 ?? '')
        if (shown === pinned) return callback(null, socket)
        socket.destroy()
        callback(new NoAnswer('wrong certificate', `${door.url} shows another certificate than the one that is known`), null)
      }),
  })
}

const notSent = (door: Door, error: Error): NoAnswer => new NoAnswer('not sent', `no connection to ${door.url}: ${error.message}`)

const plainFingerprint = (text: string): string => text.replaceAll(/[^0-9A-Fa-f]/g, '').toUpperCase()

/** Codes of OpenSSL's verification, and Node's for a name that does not fit. */
const isOfCertificate = (error: Error): boolean =>
  'code' in error && /CERT|SELF_SIGNED|UNABLE_TO_(?:GET|VERIFY)|ERR_TLS_CERT_ALTNAME_INVALID/.test(String(error.code))
