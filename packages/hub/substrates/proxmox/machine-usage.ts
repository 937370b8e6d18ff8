/** What a machine takes, in one life after the other: what its guest tells beside what the cluster sees, of which the larger counts. */
import { randomUUID } from 'node:crypto'
import type { MachineId } from '@autovibe/contract'
import { cpuSecondsOf } from '@autovibe/core/proxmox/vm-cpu.ts'
import { countedCpuSeconds, isDoubtful } from '@autovibe/core/proxmox/vm-usage.ts'
import type { KeptMeter, KeptUsage } from '../../database/proxmox-tables.ts'
import type { Figure, Usage } from '../substrate.ts'
import type { GuestState } from './guest-links.ts'
import type { VmRecord } from './records.ts'
import type { Site } from './site.ts'

/** A look waits no longer for a guest: what the cluster sees is charged while it is silent. */
const LOOK_STATE_MS = 2_500

/** Null when the guest does not answer. */
export async function stateOf(site: Site, machineId: MachineId, signal: AbortSignal, bound = signal): Promise<GuestState | null> {
  try {
    return (await site.links.current(machineId)?.state(bound)) ?? null
  } catch (error) {
    signal.throwIfAborted()
    site.logger.info({ machineId, err: error }, 'a guest did not tell its state')
    return null
  }
}

/** Before the agent is started: the Hub says when a life begins, and names it. One that runs already, after a start whose answer was lost, goes on in its life. */
export async function beginLife(site: Site, record: VmRecord, { agent, life }: Pick<GuestState, 'agent' | 'life'>): Promise<void> {
  const before = site.meters.of(record)
  const goesOn =
    agent === 'running' && before !== null && before.endedS === null && (before.toldLife === null ? life !== before.formerLife : life === before.toldLife)
  if (goesOn) return
  // From before lives had names of ours.
  const isOlder = agent === 'running' && before === null
  await site.meters.begin(record.machine_id, isOlder ? { life, toldLife: life, formerLife: '' } : { life: randomUUID(), toldLife: null, formerLife: life })
}

export async function usageOf(site: Site, machineId: MachineId, signal: AbortSignal): Promise<Usage | null> {
  const record = await site.records.find(machineId)
  if (record === null) return null
  const state = await stateOf(site, machineId, signal, AbortSignal.any([signal, AbortSignal.timeout(LOOK_STATE_MS)]))
  if (state?.agent === 'running' && record.agent && site.meters.of(record) === null) await beginLife(site, record, state)
  const meter = await site.meters.look(record, signal)
  // What it told last may be of an earlier life, which is charged already.
  if (meter === null) return null
  const told = toldIn(site, record, meter, state)
  const kept = site.meters.lastTold(machineId, meter.life, told) ?? (record.last_usage?.life === meter.life ? record.last_usage : null)
  const counted = countedIn(meter, kept)
  site.meters.change(machineId, meter.life, { countedCpuS: counted })
  // What a VM took last must be known when it is off.
  if (told !== null && state?.agent === 'stopped' && JSON.stringify(told) !== JSON.stringify(record.last_usage)) await site.records.keepUsage(machineId, told)
  return { ...usage(kept ?? untold(meter), told !== null && state?.agent === 'running' ? state : null), ...seen(site, meter, kept, counted, state !== null) }
}

/** Before the VM is turned off. */
export async function keepLastUsage(site: Site, machineId: MachineId, signal: AbortSignal): Promise<void> {
  const record = await site.records.find(machineId)
  const meter = record && site.meters.of(record)
  if (record === null || meter === null) return
  const told = site.meters.lastTold(machineId, meter.life, toldIn(site, record, meter, await stateOf(site, machineId, signal)))
  if (told !== null) await site.records.keepUsage(machineId, told)
}

/** The machine's agent has ended: what it took by then is what its life took. */
export async function endLife(site: Site, machineId: MachineId, signal: AbortSignal): Promise<void> {
  await keepLastUsage(site, machineId, signal)
  const record = await site.records.find(machineId)
  if (record === null) return
  await site.meters.end(record, (meter) => countedIn(meter, record.last_usage?.life === meter.life ? record.last_usage : null), signal)
}

/** What the guest tells of this life: by the name that it has given it first, whatever it says later. */
function toldIn(site: Site, record: VmRecord, meter: KeptMeter, state: GuestState | null): KeptUsage | null {
  if (state === null || state.life === '') return null
  const isFirst = meter.toldLife === null && state.life !== meter.formerLife
  if (!isFirst && state.life !== meter.toldLife) return null
  if (isFirst) site.meters.change(record.machine_id, meter.life, { toldLife: state.life })
  const { cpuSeconds, peakMemoryBytes, diskBytes, quality, refused } = state
  return { life: meter.life, cpuSeconds, peakMemoryBytes, diskBytes, quality, refused }
}

const countedIn = (meter: KeptMeter, told: KeptUsage | null): number => countedCpuSeconds(meter.countedCpuS, told?.cpuSeconds ?? null, cpuSecondsOf(meter.cpu))

/** Of a life of which its guest has told nothing yet, or never will. */
const untold = ({ life }: KeptMeter): KeptUsage => ({
  life,
  cpuSeconds: 0,
  peakMemoryBytes: 0,
  diskBytes: null,
  quality: 'estimated',
  refused: { memory: null, processes: null },
})

/** What the cluster adds to the word of the guest; one that does not answer now has told nothing that could be doubted. */
function seen(
  site: Site,
  meter: KeptMeter,
  told: KeptUsage | null,
  counted: number,
  hasAnswered: boolean,
): Pick<Usage, 'cpuSeconds' | 'networkBytes' | 'doubt'> {
  const seenSeconds = cpuSecondsOf(meter.cpu)
  const byGuest = told !== null && counted <= told.cpuSeconds
  const isDoubted = hasAnswered && isDoubtful(told?.cpuSeconds ?? 0, seenSeconds, (meter.endedS ?? site.meters.nowS()) - meter.beganS)
  return {
    cpuSeconds: { value: counted, quality: byGuest ? told.quality : meter.cpu.looks.length === 0 ? 'measured' : 'estimated' },
    networkBytes: meter.network && { value: meter.network.inBytes + meter.network.outBytes, quality: 'measured' },
    doubt: isDoubted ? { toldCpuSeconds: told?.cpuSeconds ?? 0, seenCpuSeconds: seenSeconds } : null,
  }
}

function usage({ life, cpuSeconds, peakMemoryBytes, diskBytes, quality, refused }: KeptUsage, now: GuestState | null): Usage {
  const figure = (value: number): Figure => ({ value, quality })
  return {
    life,
    cpuSeconds: figure(cpuSeconds),
    memoryBytes: figure(now?.memoryBytes ?? 0),
    peakMemoryBytes: figure(peakMemoryBytes),
    processes: figure(now?.processes ?? 0),
    diskBytes: diskBytes === null ? null : figure(diskBytes),
    refused,
  }
}
