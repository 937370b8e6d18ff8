/** A cluster behind the substrate's port that may not answer yet: the Hub starts all the same, says what is wrong, and takes the cluster up as soon as it answers. */
import type { CheckpointId, Finding, MachineId, MachineLimits } from '@autovibe/contract'
import { AutovibeError } from '@autovibe/contract'
import { type BackoffLimits, backoffMs } from '@autovibe/core/proxmox/backoff.ts'
import type { MachineArchives } from '../archives.ts'
import type { Capabilities, CreateMachine, ObservedMachine, Snapshot, SnapshotHandle, Substrate, TreeChange, Usage } from '../substrate.ts'
import { LateArchives } from './archives/late-archives.ts'
import type { Clock } from './client/clock.ts'
import { ProxmoxError, type ProxmoxFailureKind } from './client/errors.ts'
import { causeOf, findingOf, isOfCluster, type Outage, refusalOf } from './outage.ts'
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
const SOON: BackoffLimits = { firstMs: 1_000, mostMs: 15_000 }
/** What a person must mend: a token that is refused again and again may be locked out. */
const SELDOM: BackoffLimits = { firstMs: 60_000, mostMs: 300_000 }
/** How often it is looked whether a person has. */
const SETTINGS_LOOK_MS = 3_000
/** Of a call that no node has begun to carry out. */
const NOTHING_SENT: ReadonlySet<ProxmoxFailureKind> = new Set(['not sent', 'wrong certificate', 'credentials'])

export class LateSubstrate implements Substrate {
  readonly name = 'proxmox'
  readonly archives: MachineArchives
  readonly #options: LateOptions
  readonly #ending = new AbortController()
  #driver: OpenDriver | null = null
  /** Of the settings with which it was opened. */
  #version = ''
  #outage: Outage | null = null
  #listAgainMs = 0
  #loop: Promise<void> = Promise.resolve()

  constructor(options: LateOptions) {
    this.#options = options
    this.archives = new LateArchives(
      () => archivesOf(this.#now()),
      (work) => this.#through((substrate) => work(archivesOf(substrate))),
      () => this.#driver?.substrate.archives,
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
    await this.#through((substrate) => substrate.create(machine, signal))
  }

  async start(machineId: MachineId, signal: AbortSignal): Promise<void> {
    await this.#through((substrate) => substrate.start(machineId, signal))
  }

  async stop(machineId: MachineId, signal: AbortSignal): Promise<void> {
    if (await this.#isNowhere(machineId)) return
    await this.#through((substrate) => substrate.stop(machineId, signal))
  }

  async destroy(machineId: MachineId, signal: AbortSignal): Promise<void> {
    // Should a VM with its name be there all the same, the look at all machines finds it when the cluster answers.
    if (await this.#isNowhere(machineId)) return this.#options.forget(machineId)
    await this.#through((substrate) => substrate.destroy(machineId, signal))
  }

  async snapshot(machineId: MachineId, checkpointId: CheckpointId, signal: AbortSignal): Promise<Snapshot> {
    return this.#through((substrate) => substrate.snapshot(machineId, checkpointId, signal))
  }

  async rollback(machineId: MachineId, to: SnapshotHandle, signal: AbortSignal): Promise<void> {
    await this.#through((substrate) => substrate.rollback(machineId, to, signal))
  }

  async dropSnapshot(handle: SnapshotHandle, signal: AbortSignal): Promise<void> {
    await this.#through((substrate) => substrate.dropSnapshot(handle, signal))
  }

  async *changes(handle: SnapshotHandle, since: SnapshotHandle | null, signal: AbortSignal): AsyncGenerator<TreeChange, void> {
    try {
      yield* this.#now().changes(handle, since, signal)
    } catch (thrown) {
      throw this.#told(thrown)
    }
  }

  /** Nothing is known while it was not taken up: it is asked for each machine every few seconds, and the outage is told elsewhere. */
  async measure(machineId: MachineId, signal: AbortSignal): Promise<Usage | null> {
    return (await this.#driver?.substrate.measure(machineId, signal)) ?? null
  }

  async limit(machineId: MachineId, limits: MachineLimits, signal: AbortSignal): Promise<void> {
    await this.#through((substrate) => substrate.limit(machineId, limits, signal))
  }

  /** Rejects while the cluster does not answer: what could not be seen is not gone. What a person must mend is not asked for at each look. */
  async list(signal: AbortSignal): Promise<readonly ObservedMachine[]> {
    const substrate = this.#now()
    const { clock } = this.#options
    if (this.#outage !== null && clock.nowMs() < this.#listAgainMs) {
      await this.#openAnew()
      throw refusalOf(this.#outage)
    }
    try {
      const observed = await substrate.list(signal)
      this.#answered()
      return observed
    } catch (thrown) {
      if (!isOfCluster(thrown)) throw thrown
      const error = causeOf(thrown)
      this.#failed(error)
      if (!error.retryable) this.#listAgainMs = clock.nowMs() + SELDOM.firstMs
      throw this.#outage === null ? error : refusalOf(this.#outage)
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
        this.#version = version
        return this.#answered()
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

  /** What nothing came of because the cluster could not be worked with says so, and may be asked for again however often. */
  async #through<T>(work: (substrate: Substrate) => Promise<T>): Promise<T> {
    const substrate = this.#now()
    try {
      return await work(substrate)
    } catch (thrown) {
      throw this.#told(thrown)
    }
  }

  #told(thrown: unknown): unknown {
    if (!(thrown instanceof ProxmoxError && NOTHING_SENT.has(thrown.kind))) return thrown
    this.#failed(thrown)
    return this.#outage === null ? thrown : refusalOf(this.#outage)
  }

  /** After a person has changed how the cluster is reached. */
  async #openAnew(): Promise<void> {
    const driver = this.#driver
    if (driver === null || (await this.#options.settingsVersion().catch(() => this.#version)) === this.#version) return
    this.#driver = null
    const { logger, cluster } = this.#options
    const closed = driver.close().catch((error: unknown) => logger.warn({ cluster, err: error }, 'what the old settings had opened could not be closed'))
    this.#loop = closed.then(() => this.#takeUp(() => undefined))
  }

  async #isNowhere(machineId: MachineId): Promise<boolean> {
    return this.#driver === null && !(await this.#options.wasAskedFor(machineId))
  }

  /** Resolves when that did, or the time is over. */
  async #within(ms: number, awaited: Promise<void>): Promise<void> {
    const over = new AbortController()
    try {
      await Promise.race([awaited, this.#options.clock.pause(ms, AbortSignal.any([over.signal, this.#ending.signal]))])
    } finally {
      over.abort()
    }
  }
}
