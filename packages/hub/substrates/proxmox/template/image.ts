/** The sum that an image must have: as it was given, or as SHA256SUMS beside the image says. */
import { AutovibeError } from '@autovibe/contract'

const MOST_BYTES = 1024 * 1024
const PATIENCE_MS = 20_000
const HOPS_MOST = 5
const LOOPBACK = /^(?:127(?:\.\d{1,3}){3}|localhost|\[::1\])$/

/** Whoever can change what comes without TLS can change the sum as well. */
const isSafe = ({ protocol, hostname }: URL): boolean => protocol === 'https:' || (protocol === 'http:' && LOOPBACK.test(hostname))

export async function sumOf(imageUrl: string, given: string | null, signal: AbortSignal): Promise<string> {
  if (given !== null) return given
  const sums = new URL('SHA256SUMS', imageUrl)
  if (!isSafe(sums)) throw new AutovibeError('request.invalid', 'The sum of an image is not fetched without TLS.', { fix: 'Give it: --image-sha256 SUM' })
  const text = await fetched(sums, AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)])).catch((cause: unknown) => {
    signal.throwIfAborted()
    throw new AutovibeError('substrate.failed', `The sum of the image could not be fetched from ${sums.href}: ${reasonOf(cause)}.`, {
      cause,
      fix: 'Let the Hub reach that address, or give the sum: --image-sha256 SUM',
    })
  })
  const name = new URL(imageUrl).pathname.split('/').at(-1) ?? ''
  for (const line of text.split('\n')) {
    const [, sum, file] = /^([0-9a-f]{64}) [ *](\S+)$/.exec(line.trimEnd()) ?? []
    if (sum !== undefined && file === name) return sum
  }
  throw new AutovibeError('substrate.failed', `${sums.href} says nothing of ${name}.`, { fix: 'Give the sum: --image-sha256 SUM' })
}

async function fetched(url: URL, signal: AbortSignal): Promise<string> {
  const answer = await followed(url, signal)
  if (!answer.ok || answer.body === null) throw new Error(`it answers with status ${answer.status}`)
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const piece of answer.body) {
    length += piece.length
    if (length > MOST_BYTES) throw new Error(`it is larger than ${MOST_BYTES} bytes`)
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString('utf8')
}

/** Each hop is looked at before it is asked: one without TLS on the way could lead anywhere. */
async function followed(url: URL, signal: AbortSignal): Promise<Response> {
  let at = url
  for (let hops = 0; hops <= HOPS_MOST; hops += 1) {
    const answer = await fetch(at, { signal, redirect: 'manual' })
    const location = answer.headers.get('location')
    if (answer.status < 300 || answer.status >= 400 || location === null) return answer
    await answer.body?.cancel()
    if (!URL.canParse(location, at.href)) throw new Error('it leads to what is no address')
    at = new URL(location, at)
    if (!isSafe(at)) throw new Error(`it leads to ${at.origin}, without TLS`)
  }
  throw new Error(`it leads on more than ${HOPS_MOST} times`)
}

function reasonOf(thrown: unknown): string {
  const cause = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : thrown
  return cause instanceof Error ? cause.message : String(cause)
}
