/** Archives of a cluster that may not answer yet: what needs it is refused like everything else that does. */
import type { MachineArchiveId } from '@autovibe/contract'
import type { ComingArchive, MachineArchives, NewArchive, SeenArchive, TakenArchive, UnlistedStorage } from '../../archives.ts'

type Through = <T>(work: (archives: MachineArchives) => Promise<T>) => Promise<T>

export class LateArchives implements MachineArchives {
  readonly #now: () => MachineArchives
  readonly #through: Through
  readonly #there: () => MachineArchives | undefined

  /** The first two refuse while the cluster was not taken up. */
  constructor(now: () => MachineArchives, through: Through, there: () => MachineArchives | undefined) {
    this.#now = now
    this.#through = through
    this.#there = there
  }

  get storage(): string | null {
    return this.#now().storage
  }

  get keep(): number {
    return this.#now().keep
  }

  /** An outage of the whole cluster is told elsewhere. */
  get unlisted(): readonly UnlistedStorage[] {
    return this.#there()?.unlisted ?? []
  }

  take(archive: NewArchive, signal: AbortSignal): Promise<TakenArchive | ComingArchive> {
    return this.#through((archives) => archives.take(archive, signal))
  }

  remove(archive: NewArchive, signal: AbortSignal): Promise<void> {
    return this.#through((archives) => archives.remove(archive, signal))
  }

  look(signal: AbortSignal): Promise<ReadonlyMap<MachineArchiveId, SeenArchive>> {
    return this.#through((archives) => archives.look(signal))
  }
}
