/** What the nodes tell the cluster of their VMs, every ten seconds: /cluster/resources knows no more, and of a younger VM nothing yet. */
import type { Clock } from './clock.ts'
import type { Vm } from './cluster.ts'

type Figures = Readonly<Record<string, unknown>>

export class Broadcasts {
  readonly #told = new WeakMap<Vm, { readonly round: number; readonly figures: Figures }>()
  readonly #clock: Clock
  readonly #everyS: number

  /** `everyS` of zero tells everything at once. */
  constructor(clock: Clock, everyS: number) {
    this.#clock = clock
    this.#everyS = everyS
  }

  /** The figures of the last round; null for a VM that was not there then. */
  of(vm: Vm, now: () => Figures): Figures | null {
    const everyMs = this.#clock.ms(this.#everyS)
    if (everyMs === 0) return now()
    const round = (seconds: number): number => Math.floor((seconds * 1000) / everyMs)
    const current = round(this.#clock.now())
    if (round(vm.createdAt) === current) return null
    const told = this.#told.get(vm)
    if (told?.round === current) return told.figures
    const figures = now()
    this.#told.set(vm, { round: current, figures })
    return figures
  }
}
