/** A cluster behind the substrate's port that may not answer yet: the Hub starts all the same, says what is wrong, and takes the cluster up as soon as it answers. */
import type { CheckpointId, Finding, MachineId, MachineLimits } from '@autovibe/contract'
import { AutovibeError } from '@autovibe/contract'
import { type BackoffLimits, backoffMs } from '@autovibe/core/proxmox/backoff.ts'
import type { MachineArchives } from '../archives.ts'
import type { Capabilities, CreateMachine, ObservedMachine, Snapshot, SnapshotHandle, Substrate, TreeChange, Usage } from '../substrate.ts'
import { LateArchives } from './archives/late-archives.ts'
import type { Clock } from './client/clock.ts'
import { causeOf, findingOf, type Outage, refusalOf } from './outage.ts'
import type { ProxmoxLogger } from './site.ts'

export interface OpenDriver {
  readonly substrate: Substrate
  close(): Promise<void>
}

export interface LateOptions {
  readonly cluster: string
  /** What machines are taken to get until the cluster says more. */
  readonly assumed: Capabilities
  /** Called again after each failure. */
  readonly open: (signal: AbortSignal) => Promise<OpenDriver>
  /** Differs after a person has changed how the cluster is reached. */
  readonly settingsVersion: () => Promise<string>
  /** Whether the cluster was ever asked for anything for this machine. */
  readonly wasAskedFor: (machineId: MachineId) => Promise<boolean>
  readonly forget: (machineId: MachineId) => Promise<void>
  readonly clock: Clock
  readonly logger: ProxmoxLogger
}

function archivesOf({ archives }: Substrate): MachineArchives {
  if (archives !== undefined) return archives
  throw new AutovibeError('internal', 'The driver of a cluster takes no archives.')
}

/** A healthy cluster answers within the start of the Hub; another one does not hold it up. */
const FIRST_MS = 5_000
const ATTEMPT_MS = 60_000
/** A host that comes up together with its cluster waits for it without giving up what is under way. Below the time of the shortest step. */
const CALL_WAITS_MS = 40_000
const SOON: BackoffLimits = { firstMs: 1_000, mostMs: 15_000 }
/** What a person must mend: a token that is refused again and again may be locked out. */
const SELDOM: BackoffLimits = { firstMs: 60_000, mostMs: 300_000 }
/** How often it is looked whether a person has. */
const SETTINGS_LOOK_MS = 3_000

export class LateSubstrate implements Substrate {
  readonly name = 'proxmox'
  readonly archives: MachineArchives
  readonly #options: LateOptions
  readonly #ending = new AbortController()
  readonly #taken = Promise.withResolvers<void>()
  #driver: OpenDriver | null = null
  #outage: Outage | null = null
  #listAgainMs = 0
  #loop: Promise<void> = Promise.resolve()

  constructor(options: LateOptions) {
    this.#options = options
    this.archives = new LateArchives(
      () => archivesOf(this.#now()),
      async (signal) => archivesOf(await this.#inTime(signal)),
    )
  }

  /** Resolves when the cluster was taken up, or has not answered soon; then it is taken up later. */
  async begin(): Promise<void> {
    const { promise: tried, resolve } = Promise.withResolvers<void>()
    this.#loop = this.#takeUp(resolve)
    await this.#within(FIRST_MS, tried)
    if (this.#driver === null && this.#outage === null) this.#failed(new DOMException('', 'TimeoutError'))
  }

  capabilities(): Capabilities {
    return this.#driver?.substrate.capabilities() ?? this.#options.assumed
  }

  findings(): readonly Finding[] {
    return [...(this.#outage === null ? [] : [findingOf(this.#outage)]), ...(this.#driver?.substrate.findings() ?? [])]
  }

  trouble(): Finding | null {
    return this.#outage === null ? null : findingOf(this.#outage)
  }

  async create(machine: CreateMachine, signal: AbortSignal): Promise<void> {
    await (await this.#inTime(signal)).create(machine, signal)
  }

  async start(machineId: MachineId, signal: AbortSignal): Promise<void> {
    await (await this.#inTime(signal)).start(machineId, signal)
  }

  async stop(machineId: MachineId, signal: AbortSignal): Promise<void> {
    if (await this.#isNowhere(machineId)) return
    await (await this.#inTime(signal)).stop(machineId, signal)
  }

  async destroy(machineId: MachineId, signal: AbortSignal): Promise<void> {
    // Should a VM with its name be there all the same, the look at all machines finds it when the cluster answers.
    if (await this.#isNowhere(machineId)) return this.#options.forget(machineId)
    await (await this.#inTime(signal)).destroy(machineId, signal)
  }

  async snapshot(machineId: MachineId, checkpointId: CheckpointId, signal: AbortSignal): Promise<Snapshot> {
    return (await this.#inTime(signal)).snapshot(machineId, checkpointId, signal)
  }

  async rollback(machineId: MachineId, to: SnapshotHandle, signal: AbortSignal): Promise<void> {
    await (await this.#inTime(signal)).rollback(machineId, to, signal)
  }

  async dropSnapshot(handle: SnapshotHandle, signal: AbortSignal): Promise<void> {
    await (await this.#inTime(signal)).dropSnapshot(handle, signal)
  }

  async *changes(handle: SnapshotHandle, since: SnapshotHandle | null, signal: AbortSignal): AsyncGenerator<TreeChange, void> {
    yield* (await this.#inTime(signal)).changes(handle, since, signal)
  }

  /** Nothing is known while it was not taken up: it is asked for each machine every few seconds, and the outage is told elsewhere. */
  async measure(machineId: MachineId, signal: AbortSignal): Promise<Usage | null> {
    return (await this.#driver?.substrate.measure(machineId, signal)) ?? null
  }

  async limit(machineId: MachineId, limits: MachineLimits, signal: AbortSignal): Promise<void> {
    await (await this.#inTime(signal)).limit(machineId, limits, signal)
  }

  /** Rejects while the cluster does not answer: what could not be seen is not gone. What a person must mend is not asked for at each look. */
  async list(signal: AbortSignal): Promise<readonly ObservedMachine[]> {
    const substrate = this.#now()
    const { clock } = this.#options
    if (this.#outage !== null && clock.nowMs() < this.#listAgainMs) throw refusalOf(this.#outage)
    try {
      const observed = await substrate.list(signal)
      this.#answered()
      return observed
    } catch (thrown) {
      const error = causeOf(thrown)
      // Others are the Hub's own.
      if (!error.code.startsWith('substrate.')) throw thrown
      this.#failed(error)
      if (!error.retryable) this.#listAgainMs = clock.nowMs() + SELDOM.firstMs
      throw error
    }
  }

  /** Whoever closes it also closes the gate. */
  async close(): Promise<void> {
    this.#ending.abort(new AutovibeError('operation.cancelled', 'The Hub ends.'))
    await this.#loop
    await this.#driver?.close()
  }

  async #takeUp(tried: () => void): Promise<void> {
    const { open, clock, settingsVersion } = this.#options
    const { signal } = this.#ending
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      const version = await settingsVersion().catch(() => '')
      try {
        this.#driver = await open(AbortSignal.any([signal, AbortSignal.timeout(ATTEMPT_MS)]))
        this.#answered()
        return this.#taken.resolve()
      } catch (error) {
        if (!signal.aborted) this.#failed(error)
      } finally {
        tried()
      }
      const isSeldom = this.#outage?.error.retryable === false
      const untilMs = clock.nowMs() + backoffMs(isSeldom ? SELDOM : SOON, attempt, clock.chance())
      for (let leftMs = untilMs - clock.nowMs(); leftMs > 0 && !signal.aborted; leftMs = untilMs - clock.nowMs()) {
        await clock.pause(isSeldom ? Math.min(leftMs, SETTINGS_LOOK_MS) : leftMs, signal).catch(() => undefined)
        if (isSeldom && (await settingsVersion().catch(() => version)) !== version) break
      }
    }
  }

  #answered(): void {
    const { logger, cluster } = this.#options
    if (this.#outage !== null) logger.info({ cluster }, 'the cluster answers')
    this.#outage = null
  }

  /** Told once in the log, and as long as it lasts wherever people look. */
  #failed(thrown: unknown): void {
    const { cluster, clock, logger } = this.#options
    const error = causeOf(thrown)
    if (this.#outage?.error.message !== error.message) logger.warn({ cluster, err: error }, 'the cluster cannot be worked with')
    this.#outage = { cluster, sinceMs: this.#outage?.sinceMs ?? clock.nowMs(), error }
  }

  #now(): Substrate {
    if (this.#driver !== null) return this.#driver.substrate
    const { cluster, clock } = this.#options
    throw refusalOf(this.#outage ?? { cluster, sinceMs: clock.nowMs(), error: causeOf(new DOMException('', 'TimeoutError')) })
  }

  /** The same after a while, when it may pass by itself. */
  async #inTime(signal: AbortSignal): Promise<Substrate> {
    if (this.#driver === null && this.#outage?.error.retryable !== false) await this.#within(CALL_WAITS_MS, this.#taken.promise, signal)
    return this.#now()
  }

  async #isNowhere(machineId: MachineId): Promise<boolean> {
    return this.#driver === null && !(await this.#options.wasAskedFor(machineId))
  }

  /** Resolves when that did, or the time is over. */
  async #within(ms: number, awaited: Promise<void>, signal?: AbortSignal): Promise<void> {
    const over = new AbortController()
    const signals = [over.signal, this.#ending.signal, ...(signal === undefined ? [] : [signal])]
    try {
      await Promise.race([awaited, this.#options.clock.pause(ms, AbortSignal.any(signals))])
    } finally {
      over.abort()
    }
  }
}
