/** The key of each project's objects: made when it is first needed, kept in the store sealed under the master key, so that a new master key re-wraps keys and nothing else. */
import { randomBytes } from 'node:crypto'
import type { ProjectId } from '@autovibe/contract'
import { AutovibeError, isId } from '@autovibe/contract'
import type { Secrets } from '../security/secrets.ts'
import type { Backend } from './backends/backend.ts'
import { KEYS_FOLDER, keyName } from './segments/names.ts'

const KEY_BYTES = 32
const SEALED_BYTES_MAX = 4096

/** The context under which a project's key is sealed: it opens for this project alone. */
const context = (projectId: ProjectId): string => `checkpoints:${projectId}`

/** The project's key of 32 bytes; when two make one at once, both get the one that was first. `internal` when it was sealed under a master key that is not known. */
export async function projectKey(backend: Backend, secrets: Secrets, projectId: ProjectId): Promise<Buffer> {
  const name = keyName(projectId)
  const sealed = (await backend.get(name)) ?? (await makeKey(backend, secrets, projectId))
  return openKey(backend, secrets, projectId, sealed)
}

/** Seals every key again that is not under the current master key. What a crash leaves out, the next call seals; what does not open stays as it is. */
export async function rewrapKeys(backend: Backend, secrets: Secrets): Promise<{ readonly rewrapped: number; readonly unreadable: number }> {
  let [rewrapped, unreadable] = [0, 0]
  for await (const { name, bytes } of backend.list(KEYS_FOLDER)) {
    const projectId = name.slice(KEYS_FOLDER.length + 1)
    if (!isId('project', projectId) || bytes > SEALED_BYTES_MAX) continue
    const sealed = await backend.get(name)
    if (sealed === null || sealed.subarray(0, secrets.currentHead.length).equals(secrets.currentHead)) continue
    const key = tryToOpen(backend, secrets, projectId, sealed)
    if (key === null) unreadable++
    else {
      await backend.put(name, secrets.seal(key.toString('base64'), context(projectId)))
      rewrapped++
    }
  }
  return { rewrapped, unreadable }
}

function tryToOpen(backend: Backend, secrets: Secrets, projectId: ProjectId, sealed: Buffer): Buffer | null {
  try {
    return openKey(backend, secrets, projectId, sealed)
  } catch (error) {
    if (error instanceof AutovibeError && error.code === 'checkpoint.corrupt') return null
    throw error
  }
}

async function makeKey(backend: Backend, secrets: Secrets, projectId: ProjectId): Promise<Buffer> {
  const name = keyName(projectId)
  const mine = secrets.seal(randomBytes(KEY_BYTES).toString('base64'), context(projectId))
  if (await backend.put(name, mine, { ifAbsent: true })) return mine
  const theirs = await backend.get(name)
  if (theirs === null)
    throw new AutovibeError('substrate.failed', `The key of ${projectId} is not where another Hub has put it (${backend.place}).`, { retryable: true })
  return theirs
}

function openKey(backend: Backend, secrets: Secrets, projectId: ProjectId, sealed: Buffer): Buffer {
  try {
    const key = Buffer.from(secrets.open(sealed, context(projectId)), 'base64')
    if (key.length === KEY_BYTES) return key
    throw new RangeError(`a project key has ${KEY_BYTES} bytes`)
  } catch (cause) {
    throw new AutovibeError(
      'checkpoint.corrupt',
      `The key of ${projectId}'s checkpoints cannot be opened: it is damaged, or was sealed under another master key.`,
      {
        cause,
        fix: `Bring back ${keyName(projectId)} in ${backend.place}, or the master key that it was sealed under.`,
      },
    )
  }
}
