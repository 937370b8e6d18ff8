/** How many tunnels and attempts there are, for each machine and in all. */
import { AutovibeError, type MachineId } from '@autovibe/contract'
import type { Runtime } from '../runtime.ts'
import { LIMITS } from './limits.ts'

const WINDOW_MS = 60_000
const MAX_MACHINES = 10_000

export class Tunnels<T> {
  readonly #runtime: Runtime
  readonly #open = new Map<MachineId, Set<T>>()
  readonly #attempts = new Map<MachineId, { startedMs: number; count: number }>()
  #count = 0

  constructor(runtime: Runtime) {
    this.#runtime = runtime
  }

  /** Counts an attempt and makes room for its tunnel; `request.rate_limited`. */
  enter(machineId: MachineId, tunnel: T): void {
    if (!this.#mayTry(machineId))
      throw new AutovibeError('request.rate_limited', `A machine may try ${LIMITS.attemptsPerMinute} times a minute to reach something.`)
    const ofMachine = this.#open.get(machineId) ?? new Set()
    if (ofMachine.size >= LIMITS.tunnelsPerMachine)
      throw new AutovibeError('request.rate_limited', `A machine may have ${LIMITS.tunnelsPerMachine} tunnels at once.`)
    if (this.#count >= LIMITS.tunnels) throw new AutovibeError('request.rate_limited', `All ${LIMITS.tunnels} tunnels of this Hub are in use.`)
    ofMachine.add(tunnel)
    this.#open.set(machineId, ofMachine)
    this.#count++
  }

  leave(machineId: MachineId, tunnel: T): void {
    const ofMachine = this.#open.get(machineId)
    if (!ofMachine?.delete(tunnel)) return
    this.#count--
    if (ofMachine.size === 0) this.#open.delete(machineId)
  }

  of(machineId: MachineId): readonly T[] {
    return [...(this.#open.get(machineId) ?? [])]
  }

  machines(): readonly MachineId[] {
    return [...this.#open.keys()]
  }

  #mayTry(machineId: MachineId): boolean {
    const nowMs = this.#runtime.now().getTime()
    const window = this.#attempts.get(machineId)
    if (window && nowMs - window.startedMs < WINDOW_MS) return ++window.count <= LIMITS.attemptsPerMinute
    this.#attempts.delete(machineId)
    const oldest = this.#attempts.keys().next()
    if (this.#attempts.size >= MAX_MACHINES && !oldest.done) this.#attempts.delete(oldest.value)
    this.#attempts.set(machineId, { startedMs: nowMs, count: 1 })
    return true
  }
}
