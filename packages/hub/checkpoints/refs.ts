/** The names by which checkpoints are kept in the store, each sealed: what no name leads to may be collected. */
import { type CheckpointId, isId, Sha256 } from '@autovibe/contract'
import type { Backend } from './backends/backend.ts'
import { openNamed, sealNamed } from './seal.ts'
import { refName, refsFolder } from './segments/names.ts'
import type { KeptTree } from './store.ts'
import { corrupt } from './store-errors.ts'

/** From here on, until it is forgotten, everything that the manifest needs stays. */
export async function keepRef(backend: Backend, folder: string, key: Buffer, { checkpointId, manifestSha256 }: KeptTree): Promise<void> {
  const name = refName(folder, checkpointId)
  await backend.put(name, sealNamed(key, name, manifestSha256))
}

/** The manifest that is kept under this name, null when none is. `checkpoint.corrupt` when its file is damaged. */
export async function readRef(backend: Backend, folder: string, key: Buffer, checkpointId: CheckpointId): Promise<string | null> {
  const name = refName(folder, checkpointId)
  const sealed = await backend.get(name)
  if (sealed === null) return null
  const manifest = Sha256.safeParse(openNamed(key, name, sealed))
  if (!manifest.success) throw corrupt(`The name ${checkpointId} in the store is damaged.`)
  return manifest.data
}

/** Every name that is kept, in no order. */
export async function* listRefs(backend: Backend, folder: string): AsyncGenerator<CheckpointId, void> {
  for await (const { name } of backend.list(refsFolder(folder))) {
    const checkpointId = name.slice(name.lastIndexOf('/') + 1)
    if (isId('checkpoint', checkpointId)) yield checkpointId
  }
}
