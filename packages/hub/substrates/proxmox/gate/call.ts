/** One call to a guest over its link: one HTTP/2 stream. The guest may answer with anything, slowly, or never; each of that ends here as an error of ours. */
import { once } from 'node:events'
import { type ClientHttp2Session, type ClientHttp2Stream, constants } from 'node:http2'
import { AutovibeError, type ErrorCode, GUEST_LIMITS, Problem } from '@autovibe/contract'
import type { z } from 'zod'

export interface CallLimits {
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/** What a guest may say went wrong; anything else is `substrate.failed`. The sentences are ours: its own go to the log alone. */
const SENTENCES: Readonly<Partial<Record<ErrorCode, string>>> = {
  'substrate.unavailable': 'The guest of the machine could not do it now.',
  'substrate.disk_full': 'The machine’s disk is full.',
  'substrate.snapshot_gone': 'The machine’s disk has no frozen tree of this checkpoint.',
}
const WORDS_MAX = 500

export const unavailable = (internal: string, cause?: unknown): AutovibeError =>
  new AutovibeError('substrate.unavailable', 'The guest of the machine does not answer.', {
    internal,
    cause,
    fix: 'It is tried again by itself; see: autovibe doctor',
  })

/** The answer to a call whose body and answer are JSON. */
export async function callJson<T extends z.ZodType>(
  session: ClientHttp2Session,
  path: string,
  body: object,
  answer: T,
  limits: CallLimits,
): Promise<z.output<T>> {
  const { stream, signal } = begin(session, path, limits)
  try {
    stream.end(JSON.stringify(body))
    return await answerOf(stream, answer, signal)
  } catch (error) {
    throw failureOf(error, limits.signal)
  } finally {
    end(stream)
  }
}

/** The stream of a call of which more than one piece of JSON goes out or comes in; whoever opens it ends it. */
export function begin(
  session: ClientHttp2Session,
  path: string,
  { timeoutMs, signal }: CallLimits,
): { readonly stream: ClientHttp2Stream; readonly signal: AbortSignal } {
  signal.throwIfAborted()
  if (session.closed || session.destroyed) throw unavailable('its link has ended')
  const within = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  try {
    const stream = session.request({ ':method': 'POST', ':path': path }, { endStream: false })
    stream.on('error', () => undefined)
    return { stream, signal: within }
  } catch (error) {
    throw unavailable('its link is ending', error)
  }
}

/** Also one that nobody has opened yet: what still comes of it is thrown away by the library. */
export function end(stream: ClientHttp2Stream): void {
  if (!stream.destroyed) stream.close(constants.NGHTTP2_CANCEL)
}

export async function statusOf(stream: ClientHttp2Stream, signal: AbortSignal): Promise<number> {
  const ended = new AbortController()
  stream.once('close', () => ended.abort(unavailable('the stream was closed without an answer')))
  const until = AbortSignal.any([signal, ended.signal])
  const [headers] = (await once(stream, 'response', { signal: until }).catch((error: unknown) => {
    throw until.aborted ? until.reason : error
  })) as [Record<string, unknown>]
  return Number(headers[constants.HTTP2_HEADER_STATUS])
}

/** Whatever is not 200 is thrown. */
export async function answerOf<T extends z.ZodType>(stream: ClientHttp2Stream, answer: T, signal: AbortSignal): Promise<z.output<T>> {
  const status = await statusOf(stream, signal)
  const json = await jsonOf(stream, signal)
  if (status !== 200) throw problemFailure(json)
  const read = answer.safeParse(json)
  if (!read.success) throw unavailable(`an answer of another form: ${read.error.message.slice(0, WORDS_MAX)}`)
  return read.data
}

/** What went wrong at the guest, as far as it is believed. */
export function problemFailure(json: unknown): AutovibeError {
  const problem = Problem.safeParse(json)
  if (!problem.success) return unavailable('a failure of another form')
  const code = Object.hasOwn(SENTENCES, problem.data.code) ? (problem.data.code as ErrorCode) : 'substrate.failed'
  const internal = JSON.stringify(problem.data.detail.slice(0, WORDS_MAX))
  return new AutovibeError(code, SENTENCES[code] ?? 'The guest of the machine could not do it.', { internal, retryable: problem.data.retryable })
}

/** Of any error on the way: the caller's own wish to end stays what it is. */
export function failureOf(error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason
  if (error instanceof AutovibeError) return error
  return unavailable(String(error), error)
}

/** The whole body, as JSON. */
export async function jsonOf(stream: ClientHttp2Stream, signal: AbortSignal): Promise<unknown> {
  const chunks: Buffer[] = []
  let bytes = 0
  for (let chunk = await nextChunk(stream, signal); chunk !== null; chunk = await nextChunk(stream, signal)) {
    bytes += chunk.length
    if (bytes > GUEST_LIMITS.jsonBytes) throw unavailable(`an answer of more than ${GUEST_LIMITS.jsonBytes} bytes`)
    chunks.push(chunk)
  }
  return JSON.parse(Buffer.concat(chunks).toString('utf8'))
}

/** Null at the end; an end that came by a reset or a lost link is an error. */
export async function nextChunk(stream: ClientHttp2Stream, signal: AbortSignal): Promise<Buffer | null> {
  for (;;) {
    signal.throwIfAborted()
    const chunk = stream.read() as Buffer | null
    if (chunk !== null) return chunk
    if (stream.readableEnded && !stream.aborted && stream.rstCode === constants.NGHTTP2_NO_ERROR) return null
    // One that was closed well may still owe its end.
    const isClosedWell = stream.closed && !stream.destroyed && !stream.aborted && stream.rstCode === constants.NGHTTP2_NO_ERROR
    if (stream.readableEnded || stream.destroyed || (stream.closed && !isClosedWell)) throw unavailable('the stream broke off')
    const turn = new AbortController()
    const until = AbortSignal.any([signal, turn.signal])
    try {
      await Promise.race(['readable', 'end', 'close'].map((event) => once(stream, event, { signal: until })))
    } catch (error) {
      // Whose patience has ended, rather than that it has.
      throw signal.aborted ? signal.reason : error
    } finally {
      turn.abort()
    }
  }
}
