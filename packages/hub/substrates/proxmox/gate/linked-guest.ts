/** The calls of a guest, over the link that it has opened. */
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2'
import { type CheckpointId, type GuestAgentStart, GuestDone, GuestFroze, GuestStateAnswer } from '@autovibe/contract'
import type { Snapshot, TreeChange } from '../../substrate.ts'
import type { AgentStart, Guest, GuestState } from '../guest-links.ts'
import { answerOf, begin, callJson, end, failureOf, unavailable } from './call.ts'
import { changesOf } from './changes.ts'

export interface GuestTimes {
  readonly stateMs: number
  /** Of changes and tars: silence that is too long. */
  readonly stallMs: number
}

const AGENT_MS = 60_000
const THAW_MS = 60_000
const SYNC_MS = 5 * 60_000
/** A tree of a million files on a slow disk. */
const TREE_MS = 60 * 60_000
const TAR_MS = 12 * 60 * 60_000

export class LinkedGuest implements Guest {
  readonly #session: ClientHttp2Session
  readonly #times: GuestTimes

  constructor(session: ClientHttp2Session, times: GuestTimes) {
    this.#session = session
    this.#times = times
  }

  async state(signal: AbortSignal): Promise<GuestState> {
    const answer = await callJson(this.#session, '/state', {}, GuestStateAnswer, { timeoutMs: this.#times.stateMs, signal })
    return {
      boot: answer.boot,
      upMs: answer.up_ms,
      agent: answer.agent,
      life: answer.life,
      cpuSeconds: answer.cpu_seconds,
      memoryBytes: answer.memory_bytes,
      peakMemoryBytes: answer.peak_memory_bytes,
      processes: answer.processes,
      quality: answer.counted ? 'measured' : 'estimated',
      diskBytes: answer.disk_bytes,
      refused: answer.refused,
      frozen: answer.frozen,
      hasTree: answer.has_tree,
    }
  }

  async startAgent({ machineId, name, token, memoryBytes, processes, diskBytes }: AgentStart, signal: AbortSignal): Promise<void> {
    const body: GuestAgentStart = { machine: machineId, name, token, memory_bytes: memoryBytes, processes, disk_bytes: diskBytes }
    await callJson(this.#session, '/start-agent', body, GuestDone, { timeoutMs: AGENT_MS, signal })
  }

  async stopAgent(signal: AbortSignal): Promise<void> {
    await callJson(this.#session, '/stop-agent', {}, GuestDone, { timeoutMs: AGENT_MS, signal })
  }

  async freeze(checkpointId: CheckpointId, signal: AbortSignal): Promise<Snapshot['consistency']> {
    return (await callJson(this.#session, '/freeze', { checkpoint: checkpointId }, GuestFroze, { timeoutMs: TREE_MS, signal })).consistency
  }

  changes(checkpointId: CheckpointId, since: CheckpointId | null, signal: AbortSignal): AsyncIterable<TreeChange> {
    return changesOf(this.#session, { checkpointId, since, stallMs: this.#times.stallMs }, signal)
  }

  async thaw(checkpointId: CheckpointId, signal: AbortSignal): Promise<void> {
    await callJson(this.#session, '/thaw', { checkpoint: checkpointId }, GuestDone, { timeoutMs: THAW_MS, signal })
  }

  async rollBack(checkpointId: CheckpointId, signal: AbortSignal): Promise<void> {
    await callJson(this.#session, '/roll-back', { checkpoint: checkpointId }, GuestDone, { timeoutMs: TREE_MS, signal })
  }

  async plant(tar: AsyncIterable<Uint8Array> | null, signal: AbortSignal): Promise<void> {
    if (tar === null) return void (await callJson(this.#session, '/plant-empty', {}, GuestDone, { timeoutMs: AGENT_MS, signal }))
    const { stream, signal: within } = begin(this.#session, '/plant', { timeoutMs: TAR_MS, signal })
    const sent = new AbortController()
    // The guest may answer, and so refuse, before it has read everything.
    const answer = answerOf(stream, GuestDone, within)
    answer.catch((error: unknown) => sent.abort(error))
    try {
      await send(stream, tar, AbortSignal.any([within, sent.signal]), this.#times.stallMs)
      await answer
    } catch (error) {
      throw failureOf(error, signal)
    } finally {
      end(stream)
    }
  }

  async sync(signal: AbortSignal): Promise<void> {
    await callJson(this.#session, '/sync', {}, GuestDone, { timeoutMs: SYNC_MS, signal })
  }
}

/** No faster than the guest takes it. */
async function send(stream: ClientHttp2Stream, tar: AsyncIterable<Uint8Array>, signal: AbortSignal, stallMs: number): Promise<void> {
  for await (const chunk of tar) {
    signal.throwIfAborted()
    if (!stream.write(chunk)) await drained(stream, signal, stallMs)
  }
  signal.throwIfAborted()
  stream.end()
}

function drained(stream: ClientHttp2Stream, signal: AbortSignal, stallMs: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const timer = setTimeout(() => reject(unavailable(`it took nothing within ${stallMs} ms`)), stallMs)
  const onAbort = (): void => reject(signal.reason)
  const onClose = (): void => reject(unavailable('the stream broke off'))
  signal.addEventListener('abort', onAbort, { once: true })
  stream.once('drain', resolve)
  stream.once('close', onClose)
  return promise.finally(() => {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
    stream.off('drain', resolve)
    stream.off('close', onClose)
  })
}
