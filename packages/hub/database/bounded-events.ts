/** Tells of what a machine is refused or allowed at a bounded rate: one that knocks all day must not fill the stream. */
import type { EventType, Json, MachineId, RunId } from '@autovibe/contract'
import type { Runtime } from '../runtime.ts'
import type { Database } from './database.ts'
import { recordEvent } from './events.ts'

interface Window {
  startedMs: number
  told: number
  suppressed: number
}

const WINDOW_MS = 60_000
const MAX_MACHINES = 10_000

export class BoundedEvents {
  readonly #db: Database
  readonly #runtime: Runtime
  readonly #perMinute: number
  readonly #windows = new Map<string, Window>()

  /** `perMinute`: how many events of one type and one machine. */
  constructor(db: Database, runtime: Runtime, perMinute: number) {
    this.#db = db
    this.#runtime = runtime
    this.#perMinute = perMinute
  }

  /** Records the event for the machine and its open run; what the rate leaves out is counted in the next one. */
  async tell(type: EventType, machineId: MachineId, data: Record<string, Json>): Promise<void> {
    const window = this.#windowOf(`${type} ${machineId}`)
    if (window.told >= this.#perMinute) {
      window.suppressed++
      return
    }
    window.told++
    const { suppressed } = window
    window.suppressed = 0
    await this.#db.transaction().execute(async (tx) => {
      const run = await tx.selectFrom('runs').select(['id', 'project_id']).where('machine_id', '=', machineId).where('ended_at', 'is', null).executeTakeFirst()
      const machine = run ?? (await tx.selectFrom('machines').select('project_id').where('id', '=', machineId).executeTakeFirst())
      const runId: RunId | null = run?.id ?? null
      await recordEvent(tx, this.#runtime, {
        type,
        project_id: machine?.project_id ?? null,
        machine_id: machineId,
        run_id: runId,
        data: { ...data, ...(suppressed > 0 ? { suppressed_before: suppressed } : {}) },
      })
    })
  }

  #windowOf(key: string): Window {
    const nowMs = this.#runtime.now().getTime()
    const known = this.#windows.get(key)
    if (known && nowMs - known.startedMs < WINDOW_MS) return known
    // The suppressed ones of the last minute belong to the first event of this one.
    const fresh = { startedMs: nowMs, told: 0, suppressed: known?.suppressed ?? 0 }
    this.#windows.delete(key)
    const oldest = this.#windows.keys().next()
    if (this.#windows.size >= MAX_MACHINES && !oldest.done) this.#windows.delete(oldest.value)
    this.#windows.set(key, fresh)
    return fresh
  }
}
