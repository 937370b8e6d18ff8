/** A self-signed certificate of an own key, made at start: the few bytes of X.509 are cheaper than a dependency or a program that may be missing. */
import { generateKeyPairSync, sign, X509Certificate } from 'node:crypto'

export interface Certificate {
  readonly key: string
  readonly cert: string
  /** SHA-256, as Proxmox shows and takes it: pairs of capital hex digits with colons. */
  readonly fingerprint: string
}

const DAY_MS = 86_400_000

export function selfSigned(commonName: string): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const algorithm = sequence(objectId('1.2.840.10045.4.3.2'))
  const name = sequence(set(sequence(objectId('2.5.4.3'), tag(0x0c, Buffer.from(commonName)))))
  const now = Date.now()
  const names = sequence(tag(0x82, Buffer.from('localhost')), tag(0x87, Buffer.from([127, 0, 0, 1])))
  const toBeSigned = sequence(
    tag(0xa0, integer(Buffer.from([2]))),
    integer(Buffer.from([1, ...Buffer.from(commonName).subarray(0, 8)])),
    algorithm,
    name,
    sequence(time(now - DAY_MS), time(now + 365 * DAY_MS)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    tag(0xa3, sequence(sequence(objectId('2.5.29.17'), tag(0x04, names)))),
  )
  const signature = sign('sha256', toBeSigned, privateKey)
  const der = sequence(toBeSigned, algorithm, tag(0x03, Buffer.concat([Buffer.from([0]), signature])))
  const cert = new X509Certificate(der)
  return { key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, cert: cert.toString(), fingerprint: cert.fingerprint256 }
}

function tag(kind: number, ...content: readonly Buffer[]): Buffer {
  const body = Buffer.concat(content)
  const length = body.length < 0x80 ? [body.length] : body.length < 0x100 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 0xff]
  return Buffer.concat([Buffer.from([kind, ...length]), body])
}

const sequence = (...content: readonly Buffer[]): Buffer => tag(0x30, ...content)
const set = (...content: readonly Buffer[]): Buffer => tag(0x31, ...content)
const integer = (bytes: Buffer): Buffer => tag(0x02, bytes)
const time = (ms: number): Buffer => tag(0x17, Buffer.from(`${new Date(ms).toISOString().slice(2, 19).replaceAll(/[-:T]/g, '')}Z`))

function objectId(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const bytes = [first * 40 + second]
  for (const part of rest) {
    const groups = [part & 0x7f]
    for (let left = part >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80)
    bytes.push(...groups)
  }
  return tag(0x06, Buffer.from(bytes))
}
