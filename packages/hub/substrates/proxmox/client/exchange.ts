/** One request and its whole answer over a pool of connections, bounded in time and size; whatever else happens is a `NoAnswer` that says what is known of it. */
import { Readable } from 'node:stream'
import type { Refused } from '@autovibe/core/proxmox/failures.ts'
import type { Pool } from 'undici'
import { z } from 'zod'
import { NoAnswer } from './errors.ts'
import type { Written } from './form.ts'
import type { ClientLimits } from './limits.ts'

export interface Answer extends Refused {
  readonly data: unknown
  /** How many there are, where the answer is a part of a list. */
  readonly total: number | undefined
}

const Envelope = z.object({
  data: z.unknown(),
  total: z.int().nonnegative().optional(),
  message: z.string().optional(),
  errors: z.record(z.string(), z.string()).optional(),
})
type Envelope = z.infer<typeof Envelope>

/** Rejects with a `NoAnswer`, or with the signal's reason. */
export async function exchange(
  pool: Pool,
  { method, path, body }: Written,
  headers: Readonly<Record<string, string>>,
  { mostBodyBytes, answerMs }: Pick<ClientLimits, 'mostBodyBytes' | 'answerMs'>,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  // Whoever sends a byte now and then would never meet the pool's own time-outs.
  const patience = AbortSignal.timeout(answerMs)
  const streamed = typeof body === 'object' ? { 'content-type': body.contentType, 'content-length': String(body.sizeBytes) } : undefined
  const type = streamed ?? (body === undefined || body === '' ? {} : { 'content-type': 'application/x-www-form-urlencoded' })
  try {
    const answer = await pool.request({
      path,
      method: method as 'GET' | 'POST' | 'PUT' | 'DELETE',
      headers: { ...headers, ...type },
      ...(body === undefined ? {} : { body: typeof body === 'object' ? Readable.from(body.open(), { objectMode: false }) : body }),
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
    })
    const text = await bounded(answer.body as AsyncIterable<Buffer>, mostBodyBytes)
    const { statusCode: status, statusText: reason } = answer
    const read = envelopeOf(text)
    // A proxy's error has no body; an answer of the API always has one.
    if (status === 200 && read === undefined) throw new NoAnswer('unreadable', 'the answer is not JSON of the shape that Proxmox answers')
    return { status, reason, data: read?.data, total: read?.total, message: read?.message, errors: read?.errors }
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof NoAnswer) throw error
    throw new NoAnswer('unanswered', `no whole answer came: ${error instanceof Error ? error.message : String(error)}`)
  }
}

async function bounded(body: AsyncIterable<Buffer>, mostBytes: number): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of body) {
    length += chunk.length
    // Leaving the loop early breaks the connection.
    if (length > mostBytes) throw new NoAnswer('unreadable', `the answer is larger than ${mostBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, length).toString('utf8')
}

function envelopeOf(text: string): Envelope | undefined {
  try {
    return Envelope.safeParse(JSON.parse(text)).data
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
