/** Archives as copies by vzdump on a storage of the cluster, behind the port. */
import type { MachineArchiveId } from '@autovibe/contract'
import type { ComingArchive, MachineArchives, NewArchive, SeenArchive, TakenArchive, UnlistedStorage } from '../../archives.ts'
import type { Site } from '../site.ts'
import { lookAtArchives } from './look.ts'
import { removeArchive } from './remove.ts'
import { takeArchive } from './take.ts'

export class ProxmoxArchives implements MachineArchives {
  readonly #site: Site
  unlisted: readonly UnlistedStorage[] = []

  constructor(site: Site) {
    this.#site = site
  }

  get storage(): string | null {
    return this.#site.settings.archive.storage
  }

  get keep(): number {
    return this.#site.settings.archive.keep
  }

  take(archive: NewArchive, signal: AbortSignal): Promise<TakenArchive | ComingArchive> {
    return takeArchive(this.#site, archive, signal)
  }

  remove(archive: NewArchive, signal: AbortSignal): Promise<void> {
    return removeArchive(this.#site, archive, signal)
  }

  async look(signal: AbortSignal): Promise<ReadonlyMap<MachineArchiveId, SeenArchive>> {
    const { seen, unlisted } = await lookAtArchives(this.#site, signal)
    this.unlisted = unlisted
    return seen
  }
}
