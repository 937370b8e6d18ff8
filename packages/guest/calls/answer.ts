/** Answers the Hub's calls on the link: one HTTP/2 stream each. Whoever is at the other end of the link is the Hub, and is trusted. */
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import { pipeline } from 'node:stream/promises'
import { GUEST_LIMITS, GuestAgentStart, GuestChanges, GuestCheckpoint, type GuestStateAnswer, guestChangeHeader } from '@autovibe/contract'
import type { Agent } from '../agent/agent.ts'
import type { Boot } from '../boot.ts'
import { callFailure } from '../failures.ts'
import type { DiskLook } from '../trees/disk-look.ts'
import type { Trees } from '../trees/trees.ts'

export type Answer = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void

export interface Answering {
  readonly agent: Agent
  readonly trees: Trees
  readonly disk: DiskLook
  readonly boot: Boot
  readonly log: (message: string, fields?: object) => void
}

type Call = (stream: ServerHttp2Stream, signal: AbortSignal) => Promise<object | null>

export function answering({ agent, trees, disk, boot, log }: Answering): Answer {
  const calls: Readonly<Record<string, Call>> = {
    '/state': async (): Promise<GuestStateAnswer> => {
      const { cpuSeconds, memoryBytes, peakMemoryBytes, processes, isCounted, refused } = agent.figures()
      return {
        boot: boot.id,
        up_ms: boot.upMs(),
        agent: agent.isRunning() ? 'running' : 'stopped',
        life: agent.life,
        cpu_seconds: cpuSeconds,
        memory_bytes: memoryBytes,
        peak_memory_bytes: peakMemoryBytes,
        processes,
        counted: isCounted,
        disk_bytes: disk.bytes(),
        refused,
        frozen: await trees.frozen(),
        has_tree: await trees.hasTree(),
      }
    },
    '/start-agent': async (stream) => {
      await agent.start(GuestAgentStart.parse(await jsonOf(stream)))
      return {}
    },
    '/stop-agent': async () => {
      await agent.stop()
      return {}
    },
    '/freeze': async (stream, signal) => ({ consistency: await trees.freeze(GuestCheckpoint.parse(await jsonOf(stream)).checkpoint, signal) }),
    '/thaw': async (stream) => {
      await trees.thaw(GuestCheckpoint.parse(await jsonOf(stream)).checkpoint)
      return {}
    },
    '/roll-back': async (stream, signal) => {
      await trees.rollBack(GuestCheckpoint.parse(await jsonOf(stream)).checkpoint, signal)
      return {}
    },
    '/plant': async (stream) => {
      await trees.plant(stream)
      return {}
    },
    '/plant-empty': async () => {
      await trees.plant(null)
      return {}
    },
    '/sync': async () => {
      await trees.sync()
      return {}
    },
    '/changes': async (stream, signal) => {
      const { checkpoint, since } = GuestChanges.parse(await jsonOf(stream))
      await sendChanges(stream, trees.changes(checkpoint, since, signal))
      return null
    },
  }
  return (stream, headers) => {
    const gone = new AbortController()
    stream.on('error', () => undefined)
    stream.once('close', () => gone.abort(new Error('the Hub no longer waits for the answer')))
    const path = String(headers[constants.HTTP2_HEADER_PATH])
    const call = calls[path]
    if (call === undefined) return answer(stream, 404, {})
    call(stream, gone.signal).then(
      (body) => {
        if (body !== null) answer(stream, 200, body)
      },
      (error: unknown) => {
        const known = callFailure('The call', error)
        if (!gone.signal.aborted) log('a call of the Hub failed', { call: path, code: known.code, reason: known.internal ?? known.message })
        answer(stream, known.status, known.toProblem())
      },
    )
  }
}

function answer(stream: ServerHttp2Stream, status: number, body: object): void {
  if (stream.destroyed) return
  if (stream.headersSent) stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  else {
    stream.respond({ ':status': status, 'content-type': 'application/json' })
    stream.end(JSON.stringify(body))
  }
}

async function jsonOf(stream: ServerHttp2Stream): Promise<unknown> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > GUEST_LIMITS.jsonBytes) throw new RangeError('the body of a call is too long')
    chunks.push(chunk)
  }
  return JSON.parse(Buffer.concat(chunks).toString('utf8'))
}

/** What fails before the first record is an answer of its own; later it is the last record. */
async function sendChanges(stream: ServerHttp2Stream, records: AsyncGenerator<Uint8Array, void>): Promise<void> {
  const first = await records.next()
  stream.respond({ ':status': 200, 'content-type': 'application/octet-stream' })
  await pipeline(async function* () {
    try {
      if (first.done !== true) yield first.value
      yield* records
    } catch (error) {
      yield guestChangeHeader({ kind: 'failed', problem: callFailure('Reading the changes', error).toProblem() })
    }
  }, stream)
}
