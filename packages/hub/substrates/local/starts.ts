/** How a machine comes to run: its processes are started, or those of a slot that waits are taken over; and one that runs already goes on. */
import { isDeepStrictEqual } from 'node:util'
import type { MachineId, MachineLimits } from '@autovibe/contract'
import { type Group, groupNamed } from './cgroups.ts'
import type { MachineDocument } from './documents.ts'
import type { Held } from './held.ts'
import type { Host } from './host.ts'
import { machinePaths } from './layout.ts'
import type { Lives } from './lives.ts'
import type { Pool } from './pool.ts'
import type { Process } from './processes.ts'
import { beginTakeOver, finishTakeOver, isHalfTakenOver } from './slots.ts'
import { repairRunning } from './snapshots.ts'
import { findSupervisor, startSupervisor } from './supervisor.ts'

export class Starts {
  readonly #host: Host
  readonly #pool: Pool
  readonly #lives: Lives

  constructor(host: Host, pool: Pool, lives: Lives) {
    this.#host = host
    this.#pool = pool
    this.#lives = lives
  }

  /** Its agent was started, or was shown its token, when it resolves. */
  async start(machineId: MachineId, document: MachineDocument, limits: MachineLimits, signal: AbortSignal): Promise<void> {
    if (await this.#startWarm(machineId, document, limits)) return
    const held: Held = { limits, group: await this.#lives.begin(machineId, limits, null) }
    await this.#listen(machineId)
    await startSupervisor(this.#host, machineId, document, held, signal)
  }

  /** A machine that runs already: its door is open, and what was left in the middle is brought to its end. */
  async goOn(machineId: MachineId, document: MachineDocument, supervisor: Process): Promise<void> {
    if (isHalfTakenOver(this.#host, machineId)) await this.#finishTakeOver(machineId, document)
    await repairRunning(this.#host, machineId, supervisor)
    await this.#listen(machineId)
  }

  /** False when no booted machine waits, or none that the limits would hold: what holds single processes stands from their start on. */
  async #startWarm(machineId: MachineId, document: MachineDocument, limits: MachineLimits): Promise<boolean> {
    const { groups, defaultLimits } = this.#host
    if (document.copy !== 'overlay' || !isHeldAlike(limits, defaultLimits, groups)) return false
    const slot = await this.#pool.take()
    if (slot === null) return false
    // Before the slot is the machine's, so that whoever finds it so finds its group too.
    await this.#lives.begin(machineId, limits, groups === null ? null : groupNamed(groups, slot))
    await beginTakeOver(this.#host, machineId, slot)
    await this.#finishTakeOver(machineId, document)
    return true
  }

  #finishTakeOver(machineId: MachineId, document: MachineDocument): Promise<void> {
    const supervisor = (): Promise<Process | null> => findSupervisor(this.#host, machineId)
    return finishTakeOver(this.#host, machineId, document, supervisor, () => this.#listen(machineId))
  }

  #listen(machineId: MachineId): Promise<void> {
    return this.#host.options.door.listen(machineId, machinePaths(this.#host.layout, machineId).socket)
  }
}

/** With a group, only the largest file is a limit of single processes. */
const isHeldAlike = (limits: MachineLimits, usual: MachineLimits, groups: Group | null): boolean =>
  groups === null ? isDeepStrictEqual(limits, usual) : limits.disk_bytes === usual.disk_bytes
