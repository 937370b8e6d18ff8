/** What was measured of each contender in each phase of one tree, and the figures of it. */
import { type Figure, figure, type Unit } from '../support/report.ts'

export class Samples {
  readonly #tree: string
  readonly #contenders: readonly string[]
  readonly #phases = new Map<string, { readonly unit: Unit; readonly of: Map<string, number[]> }>()

  /** Figures come in the order of these contenders, and stand beside those of the first, where it was measured. */
  constructor(tree: string, contenders: readonly string[]) {
    this.#tree = tree
    this.#contenders = contenders
  }

  add(phase: string, unit: Unit, contender: string, value: number): void {
    const { of } = this.#phases.get(phase) ?? { of: new Map<string, number[]>() }
    this.#phases.set(phase, { unit, of })
    of.set(contender, [...(of.get(contender) ?? []), value])
  }

  /** Keeps only the greatest value. */
  most(phase: string, unit: Unit, contender: string, value: number): void {
    const of = this.#phases.get(phase)?.of
    const before = of?.get(contender)?.[0] ?? 0
    of?.delete(contender)
    this.add(phase, unit, contender, Math.max(before, value))
  }

  /** Null when it was not measured. */
  figure(phase: string, contender: string): Figure | null {
    const { unit, of } = this.#phases.get(phase) ?? { unit: 'ms', of: null }
    const samples = of?.get(contender)
    if (samples === undefined) return null
    const [first] = this.#contenders
    const beside = first === undefined || contender === first ? null : this.figure(phase, first)
    return figure(`${this.#tree}: ${phase}, ${contender}`, samples, beside === null ? { unit } : { unit, beside })
  }

  figures(): Figure[] {
    return [...this.#phases.keys()].flatMap((phase) => this.#contenders.map((contender) => this.figure(phase, contender))).filter((each) => each !== null)
  }
}
