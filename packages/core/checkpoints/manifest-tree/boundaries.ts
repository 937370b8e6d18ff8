/**
 * Where the nodes of a manifest begin. The bytes of a path alone decide how high it ranks, and an item of rank above a level begins a node of that level; so equal trees have equal
 * nodes, however they came about, and a changed entry moves no boundary. The tree is what `beginsNode` makes of its sorted items, one after the other, at each level.
 */

/** Items that one node holds at most: so few that it stays below NODE_BYTES_MAX with the longest paths (a byte of a path takes up to six characters of JSON). */
export const NODE_ITEMS_MAX = { leaf: 128, branch: 256 } as const
export const NODE_BYTES_MAX = 8 * 1024 * 1024
/** No tree within the limits of a manifest is as high: ranks end at 5, and above them every full node takes 256 items together. */
export const LEVELS_MAX = 12

/** One leaf in 16 paths, one branch in 64 nodes beneath it. */
const LEAF_BITS = 4
const BRANCH_BITS = 6
const RANK_MAX = 5

/** How many levels have a boundary before this path, given as its bytes in latin1 (sortKey). FNV-1a, then the finaliser of MurmurHash3, since FNV's low bits have seen only low bits. */
export function rankOf(key: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  hash ^= hash >>> 16
  const zeros = hash === 0 ? 32 : 31 - Math.clz32(hash & -hash)
  return zeros < LEAF_BITS ? 0 : Math.min(RANK_MAX, 1 + Math.floor((zeros - LEAF_BITS) / BRANCH_BITS))
}

/**
 * Whether an item begins a node, after `count` items of the node before it, the last of which has the rank `previousRank`. An agent chooses its paths: where none ranks, a full node ends
 * all the same, and where all do, only the first of them counts, so that a level has at most about half as many nodes as the one beneath it.
 */
export function beginsNode(level: number, count: number, previousRank: number, rank: number): boolean {
  if (count === 0) return true
  if (count >= itemsMax(level)) return true
  return rank > level && previousRank <= level
}

export const itemsMax = (level: number): number => (level === 0 ? NODE_ITEMS_MAX.leaf : NODE_ITEMS_MAX.branch)
