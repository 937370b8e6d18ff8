/** What nodes have counted of VMs over time, from what their guests really took: the figures of now, and the averages of each minute that RRD keeps. */
import type { Clock } from './clock.ts'
import type { Vm } from './cluster.ts'
import { type Guests, NOTHING, type Usage } from './guests.ts'

/** A share of processors is told anew after a second at the earliest. */
const SHARE_OVER_S = 1
/** A minute is written down so long after its end, and is unknown when the VM was off for the most of it. */
const WRITTEN_AFTER_S = 10
const KNOWN_LEAST_S = 30
const MINUTES = 60
const POINTS_MAX = 10_000

interface Point {
  readonly atS: number
  /** Of one boot, in which counters grow from one point to the next. */
  readonly bootedAtS: number
  readonly usage: Usage
}

/** Averages a second, memory as it was at the end. */
export interface Minute {
  readonly time: number
  readonly figures: Usage | null
}

export class Figures {
  readonly #clock: Clock
  readonly #guests: Guests
  readonly #points = new WeakMap<Vm, Point[]>()
  readonly #added = new WeakMap<Vm, { readonly bootedAtS: number; readonly usage: Usage }>()
  readonly #shares = new WeakMap<Vm, { readonly from: Point; readonly busy: number }>()

  constructor(clock: Clock, guests: Guests) {
    this.#clock = clock
    this.#guests = guests
  }

  /** Since it was started, looked at now. */
  of(vm: Vm): Usage {
    return this.#look(vm)?.usage ?? NOTHING
  }

  /** More than its guest really takes, in this boot of it. */
  spend(vm: Vm, usage: Partial<Usage>): void {
    this.#added.set(vm, { bootedAtS: vm.startedAt, usage: joined(this.#addedTo(vm), { ...NOTHING, ...usage }, (one, other) => one + other) })
  }

  /** How many processors it has kept busy lately. */
  busy(vm: Vm): number {
    const now = this.#look(vm)
    if (now === null) return 0
    const last = this.#shares.get(vm)
    const from = last?.from.bootedAtS === now.bootedAtS ? last.from : { ...now, atS: now.bootedAtS, usage: NOTHING }
    if (last?.from === from && now.atS - from.atS < SHARE_OVER_S) return last.busy
    const busy = now.atS > from.atS ? (now.usage.cpuSeconds - from.usage.cpuSeconds) / (now.atS - from.atS) : 0
    this.#shares.set(vm, { from: now, busy })
    return busy
  }

  /** Of the last hour, as far as they are written. */
  minutes(vm: Vm): Minute[] {
    this.#look(vm)
    const now = this.#clock.now()
    const end = Math.floor(now / 60) * 60
    return Array.from({ length: MINUTES }, (_, index) => {
      const time = end - (MINUTES - index) * 60
      return { time, figures: time + 60 + WRITTEN_AFTER_S > now ? null : this.#average(vm, time, time + 60) }
    })
  }

  #look(vm: Vm): Point | null {
    if (vm.pid === null) return null
    const points = this.#points.get(vm) ?? []
    this.#points.set(vm, points)
    if (points.at(-1)?.bootedAtS !== vm.startedAt) points.push({ atS: vm.startedAt, bootedAtS: vm.startedAt, usage: NOTHING })
    const point = {
      atS: this.#clock.now(),
      bootedAtS: vm.startedAt,
      usage: joined(this.#guests.usage(vm.vmid), this.#addedTo(vm), (one, other) => one + other),
    }
    points.push(point)
    if (points.length > POINTS_MAX) points.splice(0, points.length - POINTS_MAX)
    return point
  }

  #addedTo(vm: Vm): Usage {
    const added = this.#added.get(vm)
    return added?.bootedAtS === vm.startedAt ? added.usage : NOTHING
  }

  /** Over the time of it in which the VM ran; between two looks everything grew evenly. */
  #average(vm: Vm, fromS: number, toS: number): Usage | null {
    const points = this.#points.get(vm) ?? []
    let knownS = 0
    let sum = NOTHING
    for (const [index, point] of points.entries()) {
      const before = points[index - 1]
      if (before?.bootedAtS !== point.bootedAtS || point.atS <= before.atS) continue
      const withinS = Math.min(toS, point.atS) - Math.max(fromS, before.atS)
      if (withinS <= 0) continue
      const share = withinS / (point.atS - before.atS)
      knownS += withinS
      sum = joined(sum, point.usage, (total, now, key) => total + (now - before.usage[key]) * share)
      sum = { ...sum, memoryBytes: point.usage.memoryBytes }
    }
    return knownS < KNOWN_LEAST_S ? null : { ...joined(sum, sum, (total) => total / knownS), memoryBytes: sum.memoryBytes }
  }
}

function joined(one: Usage, other: Usage, join: (one: number, other: number, key: keyof Usage) => number): Usage {
  const keys = Object.keys(NOTHING) as (keyof Usage)[]
  return Object.fromEntries(keys.map((key) => [key, join(one[key], other[key], key)])) as unknown as Usage
}
