/** Archives as copies by vzdump on a storage of the cluster, behind the port. */
import type { MachineArchiveId } from '@autovibe/contract'
import type { ComingArchive, MachineArchives, NewArchive, SeenArchive, TakenArchive } from '../../archives.ts'
import type { Site } from '../site.ts'
import { lookAtArchives } from './look.ts'
import { removeArchive } from './remove.ts'
import { takeArchive } from './take.ts'

export class ProxmoxArchives implements MachineArchives {
  readonly #site: Site

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

  look(signal: AbortSignal): Promise<ReadonlyMap<MachineArchiveId, SeenArchive>> {
    return lookAtArchives(this.#site, signal)
  }
}
