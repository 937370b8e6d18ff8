/** What the trees of machines take on the disk: one walk at a time, in a process of lowest priority, less often the longer it takes. */
import type { MachineId } from '@autovibe/contract'
import type { Figure } from '../substrate.ts'
import { run } from './command.ts'
import { freshNamespace, type Host } from './host.ts'
import { layerTree } from './layout.ts'

/** A walk that takes longer is given up, and what was known before stays. */
const WALK_TIMEOUT_MS = 60_000
const LOOK_EVERY_MS = 4_000
/** A walk of a second is repeated at most every twenty: it takes a twentieth of one processor, and only what nobody else wants. */
const REST_FACTOR = 20
/** Layers whose size is kept in memory; beyond that all are looked at again. */
const FROZEN_MAX = 10_000

interface Known {
  figure: Figure | null
  nextLookAtMs: number
  isLooking: boolean
}

export class DiskMeter {
  readonly #host: Host
  readonly #machines = new Map<MachineId, Known>()
  /** Frozen layers never change. */
  readonly #frozen = new Map<string, number>()
  #walking: Promise<void> = Promise.resolve()

  constructor(host: Host) {
    this.#host = host
  }

  /** What the last look has found; begins another when it is time. `stack`: its layers now, the one that it writes to last. */
  figureOf(machineId: MachineId, stack: () => Promise<readonly string[] | null>): Figure | null {
    const known = this.#machines.get(machineId) ?? { figure: null, nextLookAtMs: 0, isLooking: false }
    this.#machines.set(machineId, known)
    if (!known.isLooking && performance.now() >= known.nextLookAtMs) {
      known.isLooking = true
      this.#walking = this.#walking.then(() => this.#look(known, stack)).catch((error: unknown) => this.#failed(machineId, error))
    }
    return known.figure
  }

  forget(machineId: MachineId): void {
    this.#machines.delete(machineId)
  }

  async settled(): Promise<void> {
    await this.#walking
  }

  async #look(known: Known, stack: () => Promise<readonly string[] | null>): Promise<void> {
    const begunMs = performance.now()
    try {
      const layers = await stack()
      if (layers === null) return
      let bytes = 0
      for (const layer of layers.slice(0, -1)) bytes += await this.#frozenBytes(layer)
      const upper = layers.at(-1)
      if (upper !== undefined) bytes += await this.#walk(upper)
      // Between two looks there may have been more.
      known.figure = { value: bytes, quality: 'estimated' }
    } finally {
      known.isLooking = false
      known.nextLookAtMs = performance.now() + Math.max(LOOK_EVERY_MS, REST_FACTOR * (performance.now() - begunMs))
    }
  }

  async #frozenBytes(layer: string): Promise<number> {
    const known = this.#frozen.get(layer)
    if (known !== undefined) return known
    const bytes = await this.#walk(layer)
    if (this.#frozen.size >= FROZEN_MAX) this.#frozen.clear()
    this.#frozen.set(layer, bytes)
    return bytes
  }

  /** Allocated blocks, so that holes count for nothing. What vanishes or cannot be read meanwhile is left out. */
  async #walk(layer: string): Promise<number> {
    const { asRoot, userNamespaces } = this.#host.offer
    const rights = !asRoot && userNamespaces ? freshNamespace(false) : []
    const [first = 'nice', ...rest] = [
      ...rights,
      'nice',
      '-n',
      '19',
      'ionice',
      '-c',
      '3',
      'du',
      '-s',
      '-x',
      '--block-size=1',
      '--',
      layerTree(this.#host.layout, layer),
    ]
    const { stdout } = await run(first, rest, { timeoutMs: WALK_TIMEOUT_MS })
    const bytes = Number.parseInt(stdout.toString('latin1'), 10)
    return Number.isSafeInteger(bytes) ? bytes : 0
  }

  #failed(machineId: MachineId, error: unknown): void {
    this.#host.options.logger.warn({ err: error, machine_id: machineId }, 'the disk of a machine could not be looked at; it is tried again')
  }
}
