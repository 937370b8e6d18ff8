/** The Hub's stream of events as an async iterable that reconnects by itself and never skips or repeats an event. */
import { AutovibeError, type Event, type EventType, type MachineId, type OperationId, type Page, type ProjectId, type RunId } from '@autovibe/contract'
import { createParser } from 'eventsource-parser'
import { pause, type Transport } from './transport.ts'

export interface EventFilter {
  /** The cursor to go on behind; without it, from now on. `0-0` is the beginning. */
  readonly after?: string | undefined
  readonly project?: ProjectId | undefined
  readonly machine?: MachineId | undefined
  readonly run?: RunId | undefined
  readonly operation?: OperationId | undefined
  readonly types?: readonly (EventType | (string & {}))[] | undefined
}

export interface StreamOptions extends EventFilter {
  /** Ends the loop, without an error. */
  readonly signal?: AbortSignal | undefined
  /** Told when the Hub went away and before each new attempt, and once when it is back. */
  readonly onConnection?: ((change: ConnectionChange) => void) | undefined
  /** How long the Hub may be away before the stream fails with `hub.unreachable`; ten minutes when left out. */
  readonly outageMs?: number | undefined
}

export type ConnectionChange =
  | { readonly state: 'open'; readonly reconnected: boolean }
  | { readonly state: 'lost'; readonly attempt: number; readonly retryInMs: number; readonly reason: string }

/** The Hub sends something at least every 15 s; three missed beats are a dead connection. */
const SILENCE_MS = 45_000
const LONGEST_DELAY_MS = 3_000
const BUFFER_CHARS = 4 * 1024 * 1024

export async function* streamEvents(transport: Transport, options: StreamOptions = {}): AsyncGenerator<Event, void, void> {
  let cursor = options.after
  let attempt = 0
  let lostAt: number | undefined
  for (;;) {
    if (options.signal?.aborted) return
    let failure: AutovibeError
    try {
      for await (const item of connection(transport, cursor, options)) {
        if (item === 'open') {
          options.onConnection?.({ state: 'open', reconnected: lostAt !== undefined })
          lostAt = undefined
        } else if (typeof item === 'string') cursor = item
        else {
          // Only an event shows that the connection is worth something; one that opens and breaks at once keeps its growing delay.
          attempt = 0
          cursor = item.cursor
          yield item
        }
      }
      failure = new AutovibeError('hub.unreachable', 'The Hub closed the stream of events.', { fix: 'autovibe up' })
    } catch (thrown) {
      if (options.signal?.aborted) return
      if (!(thrown instanceof AutovibeError) || !thrown.retryable) throw thrown
      failure = thrown
    }
    lostAt ??= performance.now()
    if (performance.now() - lostAt > (options.outageMs ?? 600_000)) throw failure
    const retryInMs = Math.min(LONGEST_DELAY_MS, 50 * 2 ** Math.min(attempt++, 10))
    options.onConnection?.({ state: 'lost', attempt, retryInMs, reason: failure.message })
    try {
      await pause(retryInMs, options.signal)
    } catch {
      return // only the signal rejects a pause
    }
  }
}

/** One page of stored events, oldest first. */
export const eventPage = (transport: Transport, filter: EventFilter & { readonly limit?: number }, signal?: AbortSignal): Promise<Page<Event>> =>
  transport.page('/events', { ...queryOf(filter), limit: filter.limit ?? 100 }, { signal })

/** Says `open` first; any other text is the place in the stream from which a later connection goes on. */
async function* connection(transport: Transport, cursor: string | undefined, options: StreamOptions): AsyncGenerator<Event | string> {
  const silence = new AbortController()
  const signal = options.signal === undefined ? silence.signal : AbortSignal.any([silence.signal, options.signal])
  const onSilence = () => silence.abort(new AutovibeError('hub.unreachable', 'The Hub has been silent for too long.', { fix: 'autovibe doctor' }))
  let timer = setTimeout(onSilence, SILENCE_MS)
  try {
    const headers = { accept: 'text/event-stream', ...(cursor === undefined ? {} : { 'last-event-id': cursor }) }
    const response = await transport.send('GET', '/events', { query: queryOf({ ...options, after: cursor }), headers, signal, attempts: 1 })
    yield 'open'
    const queue: (Event | string)[] = []
    const parser = createParser({
      maxBufferSize: BUFFER_CHARS,
      onEvent: (message) => {
        const event = parseEvent(message.data)
        if (event) queue.push(event)
      },
      // A stream begins with its place alone, so that one that breaks before its first event misses none.
      onId: (id) => {
        if (id !== '') queue.push(id)
      },
      onError: (error) => {
        if (error.type === 'max-buffer-size-exceeded') throw new AutovibeError('internal', 'The Hub sent an event that is too large.', { cause: error })
      },
    })
    const decoder = new TextDecoder()
    for await (const chunk of response.body ?? []) {
      clearTimeout(timer)
      timer = setTimeout(onSilence, SILENCE_MS)
      parser.feed(decoder.decode(chunk, { stream: true }))
      yield* queue.splice(0)
    }
  } catch (thrown) {
    if (thrown instanceof AutovibeError) throw thrown
    throw new AutovibeError('hub.unreachable', 'The connection to the Hub broke.', { cause: thrown, fix: 'autovibe up' })
  } finally {
    clearTimeout(timer)
    silence.abort()
  }
}

function queryOf(filter: EventFilter) {
  const { after, project, machine, run, operation, types } = filter
  return { after, project, machine, run, operation, types: types?.join(',') }
}

/** Anything that is not an event of this form is left out: a newer Hub may send more. */
function parseEvent(data: string): Event | undefined {
  try {
    const value = JSON.parse(data) as Partial<Event> | null
    return typeof value === 'object' && value !== null && typeof value.type === 'string' && typeof value.cursor === 'string' ? (value as Event) : undefined
  } catch {
    return undefined
  }
}
