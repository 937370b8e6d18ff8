/** On which node a machine is made: where it fits, away from its group, on the emptiest; what others were promised a moment ago counts as taken. */
import { GUEST_MIB } from './vm-config.ts'

export interface NodeFacts {
  readonly name: string
  readonly online: boolean
  readonly inMaintenance: boolean
  readonly cores: number
  /** Share of the cores that is busy, from 0 to 1. */
  readonly load: number
  readonly memoryBytes: number
  readonly freeMemoryBytes: number
  /** Of the storage for its disk; null where that cannot be told. */
  readonly freeDiskBytes: number | null
  /** Whether what it is cloned from can be cloned there. */
  readonly hasSource: boolean
}

/** A machine that runs on a node or is about to; one that is off takes nothing. */
export interface Promised {
  readonly node: string
  readonly group: string | null
  readonly memoryBytes: number
  readonly cores: number
  /** Not yet running, so that its memory is not yet in the node's own figures. */
  readonly isPending: boolean
}

export interface Wish {
  readonly memoryBytes: number
  readonly cores: number
  readonly diskBytes: number
  readonly group: string | null
}

export type Placement = { readonly node: string } | { readonly refused: string }

/** Left to the node itself. */
const RESERVE_BYTES = 1024 ** 3

/** The most that a machine can be given on an empty node: its VM takes some more, and the node keeps some. */
export const placeableBytes = (nodeBytes: number): number => Math.max(0, nodeBytes - RESERVE_BYTES - GUEST_MIB * 1024 ** 2)

export function chooseNode(nodes: readonly NodeFacts[], promised: readonly Promised[], wish: Wish): Placement {
  const reasons: string[] = []
  const fits = nodes.flatMap((node) => {
    const here = promised.filter(({ node: name }) => name === node.name)
    const why = unfit(node, here, wish)
    if (why === null) return [{ node, rank: rankOf(node, here, wish) }]
    reasons.push(`${node.name}: ${why}`)
    return []
  })
  const best = fits.toSorted((left, right) => compare(left.rank, right.rank) || (left.node.name < right.node.name ? -1 : 1))[0]
  return best ? { node: best.node.name } : { refused: reasons.length > 0 ? reasons.join('; ') : 'there is no node' }
}

function unfit(node: NodeFacts, here: readonly Promised[], wish: Wish): string | null {
  if (!node.online) return 'offline'
  if (node.inMaintenance) return 'in maintenance'
  if (!node.hasSource) return 'it cannot be cloned there'
  if (wish.cores > node.cores) return `it has ${node.cores} cores`
  const free = freeMemory(node, here)
  if (wish.memoryBytes > free) return `${mib(Math.max(0, free))} MiB of memory are free, ${mib(wish.memoryBytes)} are wanted`
  if (node.freeDiskBytes !== null && node.freeDiskBytes < wish.diskBytes)
    return `${mib(node.freeDiskBytes)} MiB of disk are free, ${mib(wish.diskBytes)} are wanted`
  return null
}

/** What is free now without those that do not run yet, and no more than is left when all have taken what they may: a VM takes its memory only by and by. */
function freeMemory(node: NodeFacts, here: readonly Promised[]): number {
  const sumOf = (some: readonly Promised[]): number => some.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0)
  const now = node.freeMemoryBytes - sumOf(here.filter(({ isPending }) => isPending))
  return Math.min(now, node.memoryBytes - sumOf(here)) - RESERVE_BYTES
}

/** Less is better, the first figure first: members of the same group, then how full memory and cores would be, in hundredths. */
function rankOf(node: NodeFacts, here: readonly Promised[], wish: Wish): readonly number[] {
  const group = wish.group === null ? 0 : here.filter((each) => each.group === wish.group).length
  const memory = 1 - (freeMemory(node, here) - wish.memoryBytes) / node.memoryBytes
  const busy = node.load + (here.reduce((sum, { isPending, cores }) => sum + (isPending ? cores : 0), 0) + wish.cores) / node.cores / 2
  return [group, Math.round(100 * Math.max(memory, busy))]
}

function compare(left: readonly number[], right: readonly number[]): number {
  for (const [index, value] of left.entries()) if (value !== right[index]) return value - (right[index] ?? 0)
  return 0
}

const mib = (bytes: number): number => Math.floor(bytes / 1024 ** 2)
