/** The steps of an operation that goes well as one line; one that goes back is told step by step. */
import type { Moment } from '../follow/moments.ts'
import type { Paint } from '../output.ts'
import { renderMoment } from './moment.ts'
import { duration, plain } from './text.ts'

type StepMoment = Extract<Moment, { type: 'operation_step' }>

/** Keeps the steps that are done until there is something to say about all of them. */
export class Progress {
  readonly #paint: Paint
  #done: StepMoment[] = []
  /** That the run works is seen before the last step that brought it about, or after it: it is told after. */
  #afterwards: string[] = []
  #told: string | undefined

  constructor(paint: Paint) {
    this.#paint = paint
  }

  /** The lines that a moment adds. */
  tell(moment: Moment): string[] {
    if (moment.type === 'operation_step' && moment.state === 'done') {
      if (moment.operation_id === this.#told) return []
      const others = this.#done[0]?.operation_id === moment.operation_id ? [] : this.#close()
      this.#done.push(moment)
      return others
    }
    const lines = renderMoment(moment, this.#paint)
    const isOpen = this.#done.length > 0
    if (isOpen && moment.type === 'run_state') {
      this.#afterwards.push(...lines)
      return []
    }
    const ends = moment.type === 'operation_step' || moment.type === 'operation_ended' || this.#afterwards.length > 0
    return [...(isOpen && ends ? this.#close() : []), ...lines]
  }

  #close(): string[] {
    const [first] = this.#done
    if (first === undefined) return []
    const names = this.#done.map(({ name }) => plain(name)).join(', ')
    const tookMs = this.#done.reduce((sum, { duration_ms }) => sum + (duration_ms ?? 0), 0)
    const afterwards = this.#afterwards
    this.#done = []
    this.#afterwards = []
    this.#told = first.operation_id
    return [`${this.#paint.green('✓')} ${plain(first.kind)} ${this.#paint.dim(`${duration(tookMs)}: ${names}`)}`, ...afterwards]
  }
}
