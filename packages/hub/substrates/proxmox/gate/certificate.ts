/**
 * The gate's own certificate, made once: machines know it by its fingerprint from their invitations, so nobody has to vouch for it. The few bytes of X.509 (RFC 5280) are written
 * here, because the libraries that write them bring a dozen others along, and a program may be missing.
 */
import { generateKeyPairSync, randomBytes, sign, X509Certificate } from 'node:crypto'

export interface GateCertificate {
  readonly key: string
  readonly cert: string
  /** SHA-256 in base64url, as invitations have it. */
  readonly fingerprint: string
}

/** RFC 5280 4.1.2.5: a certificate without a well-defined end. Its authority is the fingerprint, which is renewed with the invitations. */
const NEVER = '99991231235959Z'
const DAY_MS = 86_400_000

export const newCertificate = (now: Date): GateCertificate => withFingerprint(selfSigned(now))

export function withFingerprint({ key, cert }: Pick<GateCertificate, 'key' | 'cert'>): GateCertificate {
  const hex = new X509Certificate(cert).fingerprint256.replaceAll(':', '')
  return { key, cert, fingerprint: Buffer.from(hex, 'hex').toString('base64url') }
}

function selfSigned(now: Date): Pick<GateCertificate, 'key' | 'cert'> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const ecdsaWithSha256 = sequence(objectId([1, 2, 840, 10045, 4, 3, 2]))
  const commonName = objectId([2, 5, 4, 3])
  const name = sequence(tag(0x31, sequence(commonName, tag(0x0c, Buffer.from('autovibe gate')))))
  const from = new Date(now.getTime() - DAY_MS)
  const toBeSigned = sequence(
    // Version 3, which is written as 2; then a serial number, positive because its first byte is.
    tag(0xa0, tag(0x02, Buffer.of(2))),
    tag(0x02, Buffer.concat([Buffer.of(0x01), randomBytes(15)])),
    ecdsaWithSha256,
    name,
    sequence(tag(0x17, Buffer.from(`${from.toISOString().slice(2, 19).replaceAll(/[-:T]/g, '')}Z`)), tag(0x18, Buffer.from(NEVER))),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
  )
  const signature = tag(0x03, Buffer.concat([Buffer.of(0), sign('sha256', toBeSigned, privateKey)]))
  const der = sequence(toBeSigned, ecdsaWithSha256, signature)
  return { key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, cert: new X509Certificate(der).toString() }
}

function tag(kind: number, ...content: readonly Buffer[]): Buffer {
  const body = Buffer.concat(content)
  const length = body.length < 0x80 ? [body.length] : body.length < 0x100 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 0xff]
  return Buffer.concat([Buffer.from([kind, ...length]), body])
}

const sequence = (...content: readonly Buffer[]): Buffer => tag(0x30, ...content)

/** X.690 8.19: the first two arcs share a byte, the others are written in groups of seven bits. */
function objectId([first = 0, second = 0, ...rest]: readonly number[]): Buffer {
  const bytes = [first * 40 + second]
  for (const arc of rest) {
    const groups = [arc & 0x7f]
    for (let left = arc >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80)
    bytes.push(...groups)
  }
  return tag(0x06, Buffer.from(bytes))
}
