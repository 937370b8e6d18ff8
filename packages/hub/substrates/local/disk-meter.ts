/** What the trees of machines take on the disk: one walk at a time, in a process of lowest priority, less often the longer it takes. */
import { setTimeout as delay } from 'node:timers/promises'
import type { MachineId } from '@autovibe/contract'
import type { Figure } from '../substrate.ts'
import { run } from './command.ts'
import { freshNamespace, type Host } from './host.ts'
import { layerTree } from './layout.ts'

/** Each du has 20 seconds; a layer that takes longer is not known, and what was known of its machine before stays. */
const LAYER_TIMEOUT_MS = 21_000
const LOOK_EVERY_MS = 4_000
/** A walk of a second is repeated at most every twenty: it takes a twentieth of one processor, and only what nobody else wants. */
const REST_FACTOR = 20
/** Layers whose size is kept in memory; beyond that all are looked at again. */
const FROZEN_MAX = 10_000

/** So many machines are looked at in one walk: a process costs the Hub more than the walk of a small layer. */
const TOGETHER = 64
/** A command line has an end. */
const LAYERS_TOGETHER = 500
/** Within it, others whose time has come join the walk. */
const GATHER_MS = 100

/** One line for each folder, which begins with the number or is empty. One du for each, for a file with two names in one layer counts once, but one in two layers in both. */
const WALK = 'for tree; do echo "$(cd -- "$tree" && timeout -s KILL 20 du -s -x --block-size=1 .)"; done'

interface Known {
  figure: Figure | null
  nextLookAtMs: number
  isLooking: boolean
}

type Stack = () => Promise<readonly string[] | null>

export class DiskMeter {
  readonly #host: Host
  readonly #machines = new Map<MachineId, Known>()
  readonly #due = new Map<MachineId, Stack>()
  /** Frozen layers never change. */
  readonly #frozen = new Map<string, number>()
  #walking: Promise<void> = Promise.resolve()
  #isWalking = false

  constructor(host: Host) {
    this.#host = host
  }

  /** What the last look has found; begins another when it is time. `stack`: its layers now, the one that it writes to last. */
  figureOf(machineId: MachineId, stack: Stack): Figure | null {
    const known = this.#machines.get(machineId) ?? { figure: null, nextLookAtMs: 0, isLooking: false }
    this.#machines.set(machineId, known)
    if (!known.isLooking && performance.now() >= known.nextLookAtMs) {
      known.isLooking = true
      this.#due.set(machineId, stack)
      if (!this.#isWalking) this.#walking = this.#walkAllDue()
    }
    return known.figure
  }

  forget(machineId: MachineId): void {
    this.#machines.delete(machineId)
    this.#due.delete(machineId)
  }

  async settled(): Promise<void> {
    await this.#walking
  }

  async #walkAllDue(): Promise<void> {
    this.#isWalking = true
    try {
      while (this.#due.size > 0) {
        await delay(GATHER_MS)
        await this.#look([...this.#due].slice(0, TOGETHER))
      }
    } finally {
      this.#isWalking = false
    }
  }

  async #look(due: readonly (readonly [MachineId, Stack])[]): Promise<void> {
    for (const [machineId] of due) this.#due.delete(machineId)
    const begunMs = performance.now()
    try {
      const stacks: { readonly machineId: MachineId; readonly layers: readonly string[] }[] = []
      for (const [machineId, stack] of due) stacks.push({ machineId, layers: (await stack()) ?? [] })
      const sizes = await this.#sizes(stacks.map(({ layers }) => layers))
      for (const { machineId, layers } of stacks) {
        const known = this.#machines.get(machineId)
        // Between two looks there may have been more.
        if (known && layers.length > 0 && layers.every((layer) => sizes.has(layer)))
          known.figure = { value: layers.reduce((sum, layer) => sum + (sizes.get(layer) ?? 0), 0), quality: 'estimated' }
      }
    } catch (error) {
      this.#host.options.logger.warn({ err: error, machines: due.length }, 'the disks of machines could not be looked at; it is tried again')
    } finally {
      const restMs = Math.max(LOOK_EVERY_MS, REST_FACTOR * (performance.now() - begunMs))
      for (const [machineId] of due) {
        const known = this.#machines.get(machineId)
        if (known) Object.assign(known, { isLooking: false, nextLookAtMs: performance.now() + restMs })
      }
    }
  }

  /** By layer; the last of each stack is written to, the others are looked at once. */
  async #sizes(stacks: readonly (readonly string[])[]): Promise<ReadonlyMap<string, number>> {
    const frozen = new Set(stacks.flatMap((layers) => layers.slice(0, -1)))
    const wanted = [...new Set(stacks.flat())].filter((layer) => !this.#frozen.has(layer))
    const found = new Map(this.#frozen)
    for (let from = 0; from < wanted.length; from += LAYERS_TOGETHER) {
      const layers = wanted.slice(from, from + LAYERS_TOGETHER)
      const sizes = await this.#walk(layers)
      for (const [index, layer] of layers.entries()) {
        const bytes = sizes[index]
        if (bytes === undefined || Number.isNaN(bytes)) continue
        found.set(layer, bytes)
        if (this.#frozen.size >= FROZEN_MAX) this.#frozen.clear()
        if (frozen.has(layer)) this.#frozen.set(layer, bytes)
      }
    }
    return found
  }

  /** Allocated blocks, so that holes count for nothing. What vanishes or cannot be read meanwhile is left out. */
  async #walk(layers: readonly string[]): Promise<readonly number[]> {
    const { asRoot, userNamespaces } = this.#host.offer
    const rights = !asRoot && userNamespaces ? freshNamespace(false) : []
    const trees = layers.map((layer) => layerTree(this.#host.layout, layer))
    const [first = 'nice', ...rest] = [...rights, 'nice', '-n', '19', 'ionice', '-c', '3', 'sh', '-c', WALK, 'sh', ...trees]
    const { stdout } = await run(first, rest, { timeoutMs: layers.length * LAYER_TIMEOUT_MS })
    return stdout
      .toString('latin1')
      .split('\n')
      .map((line) => Number.parseInt(line, 10))
  }
}
