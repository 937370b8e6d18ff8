/** The checkpoint store on any backend. */
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { AutovibeError, isId, type ProjectId } from '@autovibe/contract'
import type { Secrets } from '../security/secrets.ts'
import type { Backend } from './backends/backend.ts'
import { openFolder } from './backends/folder.ts'
import { openS3 } from './backends/s3.ts'
import type { S3Config } from './backends/s3-config.ts'
import { assertFormat } from './format.ts'
import { HostFiles } from './host-files/host-files.ts'
import type { Writer } from './intents.ts'
import { projectKey, rewrapKeys } from './project-keys.ts'
import { projectStore } from './project-store.ts'
import { projectFolder } from './segments/names.ts'
import type { CheckpointStore, ProjectStore } from './store.ts'

/** More would only wait for the disk. */
const FILE_THREADS_MAX = 2

export interface CheckpointStoreOptions {
  readonly backend: Backend
  readonly secrets: Secrets
  /** Nobody else uses the place: what a process left in the middle that died can be cleared away. */
  readonly isOwn: boolean
  /** Who this is among those who use it: what this one left can be cleared away. */
  readonly writer?: Writer
}

/** The store in the Hub's data directory, which this process holds for itself. Errors: see createCheckpointStore. */
export async function openFolderStore(dataDir: string, secrets: Secrets): Promise<CheckpointStore> {
  return await createCheckpointStore({ backend: await openFolder(join(dataDir, 'store'), { isOwn: true }), secrets, isOwn: true })
}

/** The store in a bucket, which other Hubs may use at the same time. Errors: see createCheckpointStore, and `substrate.unavailable`. */
export async function openS3Store(config: S3Config, secrets: Secrets, writer: Writer): Promise<CheckpointStore> {
  return await createCheckpointStore({ backend: await openS3(config), secrets, isOwn: false, writer })
}

/** Opens the store, or makes it in an empty place. `hub.data_version` when another version wrote it, `substrate.disk_full`, `substrate.failed`. */
export async function createCheckpointStore({ backend, secrets, isOwn, writer }: CheckpointStoreOptions): Promise<CheckpointStore> {
  if (!isOwn && writer === undefined) throw new RangeError('a place that others use as well needs the name of its writer')
  await assertFormat(backend)
  const projects = new Map<ProjectId, ProjectStore>()
  const files = new HostFiles(Math.min(FILE_THREADS_MAX, availableParallelism()))
  return {
    of(projectId) {
      // It becomes part of a name.
      if (!isId('project', projectId)) throw new AutovibeError('request.invalid', `“${String(projectId).slice(0, 60)}” is not the id of a project.`)
      const known =
        projects.get(projectId) ??
        projectStore({ backend, folder: projectFolder(projectId), writer: isOwn ? null : (writer ?? null), files }, () =>
          projectKey(backend, secrets, projectId),
        )
      projects.set(projectId, known)
      return known
    },
    rewrapKeys: () => rewrapKeys(backend, secrets),
  }
}
