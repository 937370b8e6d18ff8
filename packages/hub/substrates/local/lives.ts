/** The lives of machines, each from a start to the next end: the group that holds one, what it takes, and what it had taken when it ended. */
import { randomUUID } from 'node:crypto'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { MachineId, MachineLimits } from '@autovibe/contract'
import { z } from 'zod'
import type { Figure, Usage } from '../substrate.ts'
import { endGroup, type Group, holdFirmly, holdTo, listGroups, makeGroup, nameOf, readGroup } from './cgroups.ts'
import { DiskMeter } from './disk-meter.ts'
import { readMachine } from './documents.ts'
import type { Host } from './host.ts'
import { machinePaths } from './layout.ts'
import { Samples } from './sampling.ts'

const Figures = z.object({ value: z.number(), quality: z.enum(['measured', 'estimated']) })
const LifeDocument = z.object({
  version: z.literal(1),
  life: z.string(),
  group: z.object({ version: z.enum(['v1', 'v2']), folders: z.partialRecord(z.enum(['memory', 'cpu', 'cpuacct', 'pids']), z.string()) }).nullable(),
  /** How it stood when the life ended; null while it goes on, or when it ended by itself. */
  final: z
    .object({
      cpuSeconds: Figures,
      peakMemoryBytes: Figures,
      refused: z.object({ memory: z.number().nullable(), processes: z.number().nullable() }),
    })
    .nullable(),
})
type LifeDocument = z.infer<typeof LifeDocument>

export class Lives {
  readonly #host: Host
  readonly #samples: Samples
  readonly #disk: DiskMeter
  /** Read once: only this process writes them. */
  readonly #known = new Map<MachineId, LifeDocument>()

  constructor(host: Host) {
    this.#host = host
    this.#samples = new Samples(host)
    this.#disk = new DiskMeter(host)
  }

  /**
   * A new life begins: answers the group that the machine must join before anything of it runs, null where there are none. `joined`: the group that the processes
   * it takes over are in already.
   */
  async begin(machineId: MachineId, limits: MachineLimits, joined: Group | null): Promise<Group | null> {
    const before = await this.#read(machineId)
    if (before?.group) await endGroup(before.group)
    if (joined !== null) holdFirmly(joined, limits)
    const { groups } = this.#host
    const group = joined ?? (groups === null ? null : await makeGroup(groups, machineId, limits))
    await this.#write(machineId, { version: 1, life: randomUUID(), group, final: null })
    return group
  }

  /** True when all that was ever started of it has been ended here, so that nobody has to look for it. */
  async isOver(machineId: MachineId): Promise<boolean> {
    const life = await this.#read(machineId)
    return life === null || life.final !== null
  }

  /** The group of the life that goes on; null where there is none. */
  async groupOf(machineId: MachineId): Promise<Group | null> {
    return (await this.#read(machineId))?.group ?? null
  }

  /** The last look before its processes are ended, where only looking tells. */
  async beforeEnd(machineId: MachineId): Promise<void> {
    const life = await this.#read(machineId)
    if (life?.final === null) await this.#usage(machineId, life)
  }

  /** Its processes have ended: what they took is written down, then the group goes, with whatever still is in it. */
  async end(machineId: MachineId): Promise<void> {
    const life = await this.#read(machineId)
    if (life === null) return
    if (life.final === null) {
      const usage = await this.#usage(machineId, life)
      if (usage !== null)
        await this.#write(machineId, { ...life, final: { cpuSeconds: usage.cpuSeconds, peakMemoryBytes: usage.peakMemoryBytes, refused: usage.refused } })
    }
    if (life.group !== null) await endGroup(life.group)
  }

  forget(machineId: MachineId): void {
    this.#known.delete(machineId)
    this.#samples.forget(machineId)
    this.#disk.forget(machineId)
  }

  async measure(machineId: MachineId): Promise<Usage | null> {
    const life = await this.#read(machineId)
    if (life === null) return null
    if (life.final === null) return this.#usage(machineId, life)
    const nothing: Figure = { value: 0, quality: 'measured' }
    return { life: life.life, ...life.final, memoryBytes: nothing, processes: nothing, diskBytes: this.#diskOf(machineId) }
  }

  /** For a machine that runs, as far as the kernel takes it now; the rest holds from its next start on. */
  async limit(machineId: MachineId, limits: MachineLimits): Promise<void> {
    const life = await this.#read(machineId)
    if (life === null || life.group === null || life.final !== null) return
    const refused = holdTo(life.group, limits)
    if (refused.length > 0) this.#host.options.logger.info({ machine_id: machineId, refused }, 'a limit holds only from the next start on')
  }

  /** Groups of machines that nobody knows any more, as a Hub leaves them that was killed, are removed. */
  async removeOrphans(isKnown: (name: string) => boolean): Promise<void> {
    for (const group of listGroups(this.#host.layout.dataMark)) if (!isKnown(nameOf(group))) await endGroup(group)
  }

  async settled(): Promise<void> {
    await this.#disk.settled()
  }

  async #usage(machineId: MachineId, { life, group }: LifeDocument): Promise<Usage | null> {
    const counted = group === null ? null : readGroup(group)
    const isWhole = counted !== null && counted.cpuSeconds !== null && counted.memoryBytes !== null && counted.processes !== null
    const sample = isWhole ? null : await this.#samples.take(machineId, life)
    const figure = (count: number | null | undefined, seen: number | undefined): Figure | null =>
      count != null ? { value: count, quality: 'measured' } : seen === undefined ? null : { value: seen, quality: 'estimated' }
    const cpuSeconds = figure(counted?.cpuSeconds, sample?.cpuSeconds)
    const memoryBytes = figure(counted?.memoryBytes, sample?.memoryBytes)
    const processes = figure(counted?.processes, sample?.processes)
    if (cpuSeconds === null || memoryBytes === null || processes === null) return null
    return {
      life,
      cpuSeconds,
      memoryBytes,
      peakMemoryBytes: figure(counted?.peakMemoryBytes, sample?.peakMemoryBytes) ?? memoryBytes,
      processes,
      diskBytes: this.#diskOf(machineId),
      refused: { memory: counted?.oomKills ?? null, processes: counted?.processesRefused ?? null },
    }
  }

  #diskOf(machineId: MachineId): Figure | null {
    return this.#disk.figureOf(machineId, async () => {
      const document = await readMachine(this.#host.layout, machineId)
      return document === null ? null : [...document.layers, document.upper]
    })
  }

  async #read(machineId: MachineId): Promise<LifeDocument | null> {
    const known = this.#known.get(machineId)
    if (known !== undefined) return known
    const text = await readFile(this.#path(machineId), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null
      throw error
    })
    if (text === null) return null
    const read = LifeDocument.safeParse(parsed(text))
    if (read.success) this.#known.set(machineId, read.data)
    // What is damaged must not keep a machine from being ended; its group is met as one that nobody knows.
    return read.data ?? null
  }

  async #write(machineId: MachineId, life: LifeDocument): Promise<void> {
    const path = this.#path(machineId)
    await writeFile(`${path}.new`, JSON.stringify(life), { mode: 0o600 })
    await rename(`${path}.new`, path)
    this.#known.set(machineId, life)
  }

  #path(machineId: MachineId): string {
    return join(machinePaths(this.#host.layout, machineId).folder, 'life.json')
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
