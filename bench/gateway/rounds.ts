/** Both calls at every peer, in rounds that take turns, so that other work on the machine meets all of them alike. */
import type { Done } from '../support/generator.ts'
import { difference, type Figure, figure, figureOfRounds } from '../support/report.ts'
import type { Parts } from './parts.ts'
import type { Peer } from './peers.ts'
import { AGENT_EVENTS, agentCall, type CallShape, smallCall } from './shapes.ts'

export const CONNECTIONS = [1, 16, 64] as const
/** What a peer may leave out of an answer: its own spelling of it. */
const LEAST_SHARE = 0.95

export interface RoundsOptions {
  readonly rounds: number
  readonly forMs: number
  readonly progress: (text: string) => void
}

export interface Cell {
  readonly ms: Figure
  readonly perSecond: Figure
  /** Beyond the bare upstream, with one connection: with more they wait for each other. */
  readonly added: Figure | null
}

/** The cells by `cellName`, in the order in which they read best. The first peer is the one that the others stand beside. */
export async function measureRounds(parts: Parts, peers: readonly Peer[], { rounds, forMs, progress }: RoundsOptions): Promise<Map<string, Cell>> {
  const measured = new Map<string, { ms: number[][]; perSecond: number[] }>()
  const leastBytes = new Map<string, number>()
  for (const shape of [smallCall, agentCall]) {
    for (const peer of peers) {
      progress(`${peer.name} warms up: ${shape.name}`)
      leastBytes.set(`${shape.name} ${peer.name}`, LEAST_SHARE * (await lookAt(parts, peer, shape)))
      await keepBusy(parts, peer, shape, { connections: 16, forMs })
    }
  }
  for (let round = 1; round <= rounds; round++) {
    progress(`round ${round} of ${rounds}`)
    for (const shape of [smallCall, agentCall]) {
      for (const connections of CONNECTIONS) {
        for (const peer of peers) {
          const name = cellName(shape, connections, peer)
          const done = await keepBusy(parts, peer, shape, { connections, forMs, leastBytes: leastBytes.get(`${shape.name} ${peer.name}`) ?? 1 })
          const cell = measured.get(name) ?? { ms: [], perSecond: [] }
          cell.ms.push([...done.ms])
          cell.perSecond.push(done.perSecond)
          measured.set(name, cell)
        }
      }
    }
  }
  const cells = new Map<string, Cell>()
  for (const shape of [smallCall, agentCall]) {
    for (const connections of CONNECTIONS) {
      let bare: Cell | null = null
      for (const peer of peers) {
        const name = cellName(shape, connections, peer)
        const { ms, perSecond } = measured.get(name) ?? { ms: [], perSecond: [] }
        const own = figureOfRounds(name, ms, bare ? { beside: bare.ms } : {})
        const rate = figure(`calls a second: ${name}`, perSecond, { unit: '1/s', ...(bare ? { beside: bare.perSecond } : {}) })
        const cell: Cell = { ms: own, perSecond: rate, added: bare && connections === 1 ? difference(`added: ${name}`, own, bare.ms) : null }
        bare ??= cell
        cells.set(name, cell)
      }
    }
  }
  return cells
}

export const cellName = (shape: CallShape, connections: number, peer: Peer): string => `${shape.name}, ${connections} at once, ${peer.name}`

/** One answer read in full: it has to be the upstream's, whole; answers with its length. */
async function lookAt({ generator }: Parts, peer: Peer, { name, streamed, body }: CallShape): Promise<number> {
  const { body: answer } = await generator.ask({ kind: 'one', places: [peer.to(0)], body, leastBytes: 1 })
  const text = answer.toString()
  const isWhole = streamed ? text.split('event: ').length - 1 >= AGENT_EVENTS && text.includes('message_stop') : text.includes('end_turn')
  if (!isWhole) throw new Error(`${peer.name} did not answer the ${name} call with what the upstream had said: ${text.slice(0, 500)}`)
  return answer.length
}

/** So many connections that call one peer for so long, without a pause. */
export function keepBusy(
  { generator }: Parts,
  peer: Peer,
  { body }: CallShape,
  { connections, forMs, leastBytes = 1 }: { readonly connections: number; readonly forMs: number; readonly leastBytes?: number },
): Promise<Done> {
  const places = Array.from({ length: connections }, (_, index) => peer.to(index))
  return generator.ask({ kind: 'busy', places, body, leastBytes, forMs })
}
