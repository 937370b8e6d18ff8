/** Many live streams at once, and one that is very long: what they wait for their first byte, and what the Hub keeps in memory meanwhile. */
import { readFile } from 'node:fs/promises'
import { type Figure, figure } from '../support/report.ts'
import type { Callers } from './callers.ts'
import type { Parts } from './parts.ts'
import { barePeer, type Peer } from './peers.ts'
import { agentCall, FLOOD, PACED } from './shapes.ts'

/** Less than a machine may have under way, because its own agent waits for an answer too. */
const STREAMS_PER_MACHINE = 25
const RSS_EVERY_MS = 50

export interface StreamsOptions {
  readonly parts: Parts
  readonly callers: Callers
  readonly ours: Peer
  readonly hubPid: number
}

export interface LiveStreams {
  readonly bare: Figure
  readonly ours: Figure
  readonly liveMax: number
  readonly rss: Figure
}

/** So many streams, begun one after the other over `overMs`, straight and then through the gateway. */
export async function measureLiveStreams({ parts, callers, ours, hubPid }: StreamsOptions, streams: number, overMs: number): Promise<LiveStreams> {
  await callers.growTo(Math.ceil(streams / STREAMS_PER_MACHINE))
  await callers.useUpstream(`${parts.upstreamUrl}${PACED}`)
  const ramp = (to: Peer['to']) =>
    parts.generator.ask({ kind: 'ramp', places: Array.from({ length: streams }, (_, index) => to(index)), body: agentCall.body, leastBytes: 1000, overMs })
  const straight = await ramp((index) => ({ ...barePeer(parts.upstreamPort).to(index), path: `${PACED}/v1/messages` }))
  const { done, rssMiB } = await watched(hubPid, () => ramp(ours.to))
  const bare = figure(`first byte of ${streams} live streams, bare upstream`, [...straight.firstByteMs])
  return {
    bare,
    ours: figure(`first byte of ${streams} live streams, ${ours.name}`, [...done.firstByteMs], { beside: bare }),
    liveMax: done.liveMax,
    rss: figure(`the Hub's memory with ${streams} live streams`, rssMiB, { unit: 'MiB' }),
  }
}

export interface LongStream {
  readonly tookMs: number
  readonly beforeMiB: number
  readonly rss: Figure
}

/** One stream of so many bytes, as fast as it goes through. */
export async function measureLongStream({ parts, callers, ours, hubPid }: StreamsOptions, bytes: number): Promise<LongStream> {
  await callers.useUpstream(`${parts.upstreamUrl}${FLOOD}`)
  const flood = () => parts.generator.ask({ kind: 'ramp', places: [ours.to(0)], body: agentCall.body, leastBytes: bytes, overMs: 0 })
  const beforeMiB = await rssOf(hubPid)
  const { done, rssMiB } = await watched(hubPid, flood)
  return { tookMs: done.ms[0] ?? 0, beforeMiB, rss: figure(`the Hub's memory during a stream of ${Math.round(bytes / 2 ** 20)} MiB`, rssMiB, { unit: 'MiB' }) }
}

/** Does the work and looks at the process's resident memory meanwhile. */
async function watched<T>(pid: number, work: () => Promise<T>): Promise<{ done: T; rssMiB: number[] }> {
  const rssMiB = [await rssOf(pid)]
  let looking = Promise.resolve()
  const timer = setInterval(() => {
    looking = looking.then(async () => void rssMiB.push(await rssOf(pid)))
  }, RSS_EVERY_MS)
  try {
    const done = await work()
    await looking
    return { done, rssMiB }
  } finally {
    clearInterval(timer)
  }
}

async function rssOf(pid: number): Promise<number> {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]
  if (kib === undefined) throw new Error(`the memory of process ${pid} cannot be read`)
  return Number(kib) / 1024
}
