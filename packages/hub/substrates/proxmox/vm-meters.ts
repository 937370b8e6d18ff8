/** What the cluster counts of our VMs: one list of all of them every few seconds, RRD's minutes once a minute for each, and both at the end of a life. What is decided is in core. */
import type { MachineId } from '@autovibe/contract'
import { firstSeen, lookedAt, settled, stretchesOf } from '@autovibe/core/proxmox/vm-cpu.ts'
import { type CardCounters, carriedOn, firstCarried } from '@autovibe/core/proxmox/vm-network.ts'
import type { KeptMeter, KeptUsage } from '../../database/proxmox-tables.ts'
import type { ProxmoxClient } from './client/client.ts'
import type { VmRecord, VmRecords } from './records.ts'
import type { ProxmoxLogger } from './site.ts'
import { LOOK_MS, VmList } from './vm-list.ts'

const MINUTES_EVERY_S = 60
const END_MS = 10_000
/** What an hour's minutes reach back, but for a little. */
const HOUR_S = 3_300

interface Figures {
  readonly status?: string | undefined
  readonly cpu?: number | undefined
  readonly cores?: number | undefined
  readonly uptime?: number | undefined
  readonly netin?: number | undefined
  readonly netout?: number | undefined
}
interface Entry {
  meter: KeptMeter
  /** When RRD was last asked, or is to count as asked. */
  askedS: number
  /** What its guest told of this life last. */
  told: KeptUsage | null
  /** What of its cards is written down. */
  keptNetwork: KeptMeter['network']
}

export interface VmMetersParts {
  readonly client: ProxmoxClient
  readonly records: VmRecords
  readonly logger: ProxmoxLogger
}

export class VmMeters {
  readonly #parts: VmMetersParts
  readonly #entries = new Map<MachineId, Entry>()
  readonly #list: VmList

  constructor(parts: VmMetersParts) {
    this.#parts = parts
    this.#list = new VmList(parts)
  }

  nowS(): number {
    return this.#parts.client.clock.nowMs() / 1000
  }

  /** Before the agent of this life runs. */
  async begin(machineId: MachineId, life: Pick<KeptMeter, 'life' | 'toldLife' | 'formerLife'>): Promise<KeptMeter> {
    const beganS = this.nowS()
    const meter: KeptMeter = { ...life, beganS, endedS: null, cpu: firstSeen(beganS), network: null, countedCpuS: 0 }
    await this.#parts.records.beginMeter(machineId, meter)
    this.#entries.set(machineId, { meter, askedS: beganS, told: null, keptNetwork: null })
    return meter
  }

  /** The life's meter as it is known without asking anybody. */
  of({ machine_id, meter }: VmRecord): KeptMeter | null {
    const entry = this.#entries.get(machine_id)
    // Newer than any row that was read before.
    if (entry !== undefined) return entry.meter
    if (meter === null) return null
    this.#entries.set(machine_id, { meter, askedS: Number.NEGATIVE_INFINITY, told: null, keptNetwork: meter.network })
    return meter
  }

  /** The same after a look; a cluster that does not answer has seen nothing new. */
  async look(record: VmRecord, signal: AbortSignal): Promise<KeptMeter | null> {
    const meter = this.of(record)
    if (meter === null || meter.endedS !== null) return meter
    const bound = AbortSignal.any([signal, AbortSignal.timeout(LOOK_MS)])
    const listing = await this.#list.read(signal, bound)
    const listed = listing?.vms.get(record.vmid)
    if (listing !== null && listed !== undefined) this.#see(record.machine_id, meter.life, { ...listed, cores: listed.maxcpu }, listing.atS)
    const entry = this.#entries.get(record.machine_id)
    if (entry !== undefined && this.nowS() - entry.askedS >= MINUTES_EVERY_S) await this.#settle(record, meter.life, signal, bound)
    await this.#keepNetwork(record.machine_id)
    return this.of(record)
  }

  /** The last look at a life: now, not at what is ten seconds old. Shortly before and shortly after its agent ends, so that neither its last work nor its end is missed. */
  async lookClosely(record: VmRecord, signal: AbortSignal): Promise<KeptMeter | null> {
    const meter = this.of(record)
    if (meter === null || meter.endedS !== null) return meter
    const { node, vmid, machine_id } = record
    const bound = AbortSignal.any([signal, AbortSignal.timeout(END_MS)])
    const now = await this.#asked(machine_id, signal, () =>
      this.#parts.client.call('GET /nodes/{node}/qemu/{vmid}/status/current', { node, vmid }, { signal: bound }),
    )
    if (now !== null) this.#see(machine_id, meter.life, { ...now, cores: now.cpus }, this.nowS())
    await this.#keepNetwork(machine_id)
    return this.of(record)
  }

  /** What follows is of no life, until the next begins. */
  async end(record: VmRecord, countedCpuS: (meter: KeptMeter) => number, signal: AbortSignal): Promise<void> {
    const before = await this.lookClosely(record, signal)
    if (before === null || before.endedS !== null) return
    await this.#settle(record, before.life, signal, AbortSignal.any([signal, AbortSignal.timeout(END_MS)]))
    const meter = this.#change(record.machine_id, before.life, (each) => ({ ...each, endedS: this.nowS(), countedCpuS: countedCpuS(each) }))
    if (meter !== null) await this.#parts.records.keepMeter(record.machine_id, meter)
  }

  /** What was found out about a life, in memory until the next time it is written down. */
  change(machineId: MachineId, life: string, change: Partial<Pick<KeptMeter, 'toldLife' | 'countedCpuS'>>): void {
    this.#change(machineId, life, (meter) => ({ ...meter, ...change }))
  }

  /** What the guest told last of this life stands while it is silent. */
  lastTold(machineId: MachineId, life: string, now: KeptUsage | null): KeptUsage | null {
    const entry = this.#entries.get(machineId)
    if (entry === undefined || entry.meter.life !== life) return now
    entry.told = now ?? entry.told
    return entry.told
  }

  forget(machineId: MachineId): void {
    this.#entries.delete(machineId)
  }

  /** Before anybody is told of them: no minutes tell a next Hub what cards carried, and what was charged must not be free a second time. */
  async #keepNetwork(machineId: MachineId): Promise<void> {
    const entry = this.#entries.get(machineId)
    if (entry === undefined || entry.meter.network === entry.keptNetwork) return
    const { meter } = entry
    await this.#parts.records.keepMeter(machineId, meter)
    entry.keptNetwork = meter.network
  }

  #see(machineId: MachineId, life: string, { status, cpu, cores, uptime, netin, netout }: Figures, atS: number): void {
    if (status !== 'running') return
    this.#change(machineId, life, (meter) => {
      const counters: CardCounters | null =
        netin === undefined || netout === undefined || uptime === undefined ? null : { inBytes: netin, outBytes: netout, uptimeS: uptime, atS }
      return {
        ...meter,
        cpu: cpu === undefined || cores === undefined ? meter.cpu : lookedAt(meter.cpu, atS, cpu * cores),
        network: counters === null ? meter.network : meter.network === null ? firstCarried(counters) : carriedOn(meter.network, counters),
      }
    })
  }

  async #settle(record: VmRecord, life: string, signal: AbortSignal, bound: AbortSignal): Promise<void> {
    const { node, vmid, machine_id } = record
    const entry = this.#entries.get(machine_id)
    if (entry === undefined) return
    // At once, so that nobody else asks meanwhile.
    entry.askedS = this.nowS()
    const timeframe = this.nowS() - entry.meter.cpu.settledS > HOUR_S ? 'day' : 'hour'
    const points = await this.#asked(machine_id, signal, () =>
      this.#parts.client.call('GET /nodes/{node}/qemu/{vmid}/rrddata', { node, vmid, timeframe, cf: 'AVERAGE' }, { signal: bound }),
    )
    if (points === null) return
    const meter = this.#change(machine_id, life, (each) => ({ ...each, cpu: settled(each.cpu, stretchesOf(points), this.nowS()) }))
    if (meter !== null) await this.#parts.records.keepMeter(machine_id, meter)
  }

  /** Null where the life is another by now, or over. */
  #change(machineId: MachineId, life: string, change: (meter: KeptMeter) => KeptMeter): KeptMeter | null {
    const entry = this.#entries.get(machineId)
    if (entry === undefined || entry.meter.life !== life || entry.meter.endedS !== null) return null
    entry.meter = change(entry.meter)
    return entry.meter
  }

  async #asked<T>(machineId: MachineId, signal: AbortSignal, ask: () => Promise<T>): Promise<T | null> {
    try {
      return await ask()
    } catch (error) {
      signal.throwIfAborted()
      this.#parts.logger.info({ machineId, err: error }, 'the cluster did not tell what a VM takes')
      return null
    }
  }
}
