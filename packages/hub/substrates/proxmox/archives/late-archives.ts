/** Archives of a cluster that may not answer yet: what needs it waits or is refused like everything else that does. */
import type { MachineArchiveId } from '@autovibe/contract'
import type { MachineArchives, NewArchive, SeenArchive, TakenArchive } from '../../archives.ts'

export class LateArchives implements MachineArchives {
  readonly #now: () => MachineArchives
  readonly #inTime: (signal: AbortSignal) => Promise<MachineArchives>

  /** Both refuse while the cluster was not taken up; the second waits first. */
  constructor(now: () => MachineArchives, inTime: (signal: AbortSignal) => Promise<MachineArchives>) {
    this.#now = now
    this.#inTime = inTime
  }

  get storage(): string | null {
    return this.#now().storage
  }

  get keep(): number {
    return this.#now().keep
  }

  async take(archive: NewArchive, signal: AbortSignal): Promise<TakenArchive | null> {
    return (await this.#inTime(signal)).take(archive, signal)
  }

  async remove(archive: NewArchive, signal: AbortSignal): Promise<void> {
    await (await this.#inTime(signal)).remove(archive, signal)
  }

  /** Not waited for: it is looked again. */
  async look(signal: AbortSignal): Promise<ReadonlyMap<MachineArchiveId, SeenArchive>> {
    return this.#now().look(signal)
  }
}
