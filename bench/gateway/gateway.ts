/** Model calls through our gateway of a real Hub beside the bare upstream and beside the gateways of others: one upstream, one load generator, in turns. */
import { join } from 'node:path'
import { temporaryFolder } from '../support/place.ts'
import { type BenchOptions, brief, type Figure, figure, type Measured, type Target, targetBelow, targetTimes } from '../support/report.ts'
import { openStage } from '../support/stage.ts'
import { openCallers } from './callers.ts'
import { wrkPerSecond } from './ceiling.ts'
import { openParts, type Parts } from './parts.ts'
import { barePeer, type Peer, startLitellm, startPortkey } from './peers.ts'
import { type Cell, CONNECTIONS, cellName, keepBusy, measureRounds } from './rounds.ts'
import { agentCall, smallCall } from './shapes.ts'
import { type LiveStreams, type LongStream, measureLiveStreams, measureLongStream } from './streams.ts'

/** 64 connections, at most 32 calls a machine, one of them its own agent's. */
const MACHINES = 4
const MOST = CONNECTIONS[2]
const FULL = { rounds: 5, forMs: 800, wrkSeconds: 2, streams: 1000, overMs: 8000, pacedEvents: 100, floodBytes: 2 ** 30 }
const QUICK = { rounds: 3, forMs: 200, wrkSeconds: 1, streams: 200, overMs: 2000, pacedEvents: 40, floodBytes: 2 ** 27 }
const MEMORY_GROWTH_BELOW_MIB = 64

export async function measure({ quick, progress }: BenchOptions): Promise<Measured> {
  const size = quick ? QUICK : FULL
  await using ending = new AsyncDisposableStack()
  const parts = ending.use(await openParts(size))
  await using others = new AsyncDisposableStack()
  const skipped: string[] = []
  const other = async (name: string, start: () => Promise<Peer & AsyncDisposable>): Promise<Peer | null> => {
    progress(`${name}, installed when it was not yet`)
    try {
      return others.use(await start())
    } catch (error) {
      skipped.push(`${name} was left out: ${error instanceof Error ? error.message : String(error)}`)
      return null
    }
  }
  const portkey = await other('Portkey', () => startPortkey(parts.upstreamUrl))
  const folder = others.use(await temporaryFolder())
  const litellm = quick ? null : await other('LiteLLM', () => startLitellm(parts.upstreamUrl, join(folder.path, 'litellm')))
  if (quick) skipped.push('LiteLLM is left out of a quick run.')

  progress('a Hub with machines whose runs wait for their model')
  const stage = ending.use(await openStage())
  const callers = ending.use(await openCallers(stage))
  await callers.growTo(MACHINES)
  await callers.useUpstream(parts.upstreamUrl)

  const bare = barePeer(parts.upstreamPort)
  const ours: Peer = { name: 'our gateway', to: callers.to }
  const peers = [bare, ours, portkey, litellm].filter((peer) => peer !== null)
  const cells = await measureRounds(parts, peers, { ...size, progress })
  await others.disposeAsync()
  progress('the generator beside wrk')
  const ceilings = await measureCeilings(parts, bare, size.wrkSeconds)

  const where = { parts, callers, ours, hubPid: stage.hub.pid }
  progress('a long stream')
  const long = await measureLongStream(where, size.floodBytes)
  progress(`${size.streams} live streams`)
  const live = await measureLiveStreams(where, size.streams, size.overMs)
  return {
    figures: [...tableOf(cells), ...ceilings, live.bare, live.ours, live.rss, long.rss],
    targets: [...targetsOf(cells, { ours, portkey }), ...streamTargets(live, long)],
    notes: [
      `Peers: ${peers.map(({ name }) => name).join(', ')}; ${size.rounds} rounds in which they take turns, ${size.forMs} ms each; a quantile is the median of the rounds' own.`,
      `A small call has ${smallCall.body.length} bytes and a JSON answer, an agent-sized one ${agentCall.body.length} bytes and a stream. Each lasts until the last byte; an answer that is no 200 or too short ends the run.`,
      `Ours goes over the unix sockets of ${MACHINES} machines, the others over TCP. Each call of ours is authenticated, bounded, reserved, forwarded, settled and recorded durably.`,
      ...(litellm ? [`${litellm.name} has a budget in its configuration and no database, so that it keeps what was spent in memory alone.`] : []),
      ...skipped,
      `Of the live streams, which have an event each 100 ms, ${live.liveMax} were open at once.`,
      `The long stream took ${brief(long.tookMs / 1000)} s; the Hub's resident memory was ${brief(long.beforeMiB)} MiB before it and ${brief(long.rss.max)} MiB at most.`,
      'Upstream, generator, Hub and database are processes of their own and share the cores of this machine; none is pinned.',
    ],
  }
}

function tableOf(cells: ReadonlyMap<string, Cell>): Figure[] {
  const all = [...cells.values()]
  return [...all.map(({ ms }) => ms), ...all.flatMap(({ added }) => added ?? []), ...all.map(({ perSecond }) => perSecond)]
}

async function measureCeilings(parts: Parts, bare: Peer, seconds: number): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const shape of [smallCall, agentCall]) {
    const byWrk = await wrkPerSecond(parts.upstreamPort, shape, MOST, seconds)
    if (byWrk === null) continue
    const { perSecond } = await keepBusy(parts, bare, shape, { connections: MOST, forMs: seconds * 1000 })
    const what = `${shape.name}, ${MOST} at once, ${bare.name}`
    const wrk = figure(`calls a second by wrk: ${what}`, [byWrk], { unit: '1/s' })
    figures.push(wrk, figure(`calls a second by our generator: ${what}`, [perSecond], { unit: '1/s', beside: wrk }))
  }
  return figures
}

function targetsOf(cells: ReadonlyMap<string, Cell>, { ours, portkey }: { readonly ours: Peer; readonly portkey: Peer | null }): Target[] {
  return [
    { shape: smallCall, times: 8, addedBelowMs: 1.5 },
    { shape: agentCall, times: 5, addedBelowMs: 2 },
  ].flatMap(({ shape, times, addedBelowMs }) => {
    const most = cells.get(cellName(shape, MOST, ours))
    const one = cells.get(cellName(shape, 1, ours))
    if (!most || !one?.added) throw new Error(`our gateway was not measured with ${shape.name}`)
    const theirs = portkey && (cells.get(cellName(shape, MOST, portkey))?.perSecond ?? null)
    return [
      targetTimes(`calls a second against Portkey: ${shape.name}, ${MOST} at once`, most.perSecond, theirs, times),
      targetBelow(`added to the bare upstream: ${shape.name}, one at a time`, one.added, addedBelowMs),
    ]
  })
}

function streamTargets({ bare, ours }: LiveStreams, { beforeMiB, rss }: LongStream): Target[] {
  const addedMs = ours.p50 - bare.p50
  const grownMiB = rss.max - beforeMiB
  return [
    { name: `added to the first byte of ${ours.n} live streams`, goal: 'p50 < 10 ms', measured: `${brief(addedMs)} ms`, held: addedMs < 10 },
    {
      name: 'growth of the Hub during the long stream',
      goal: `< ${MEMORY_GROWTH_BELOW_MIB} MiB`,
      measured: `${brief(grownMiB)} MiB`,
      held: grownMiB < MEMORY_GROWTH_BELOW_MIB,
    },
  ]
}
