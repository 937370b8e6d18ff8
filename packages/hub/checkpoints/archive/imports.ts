/** Archives on their way into the store: looked through as they come, kept as plain tars until their checkpoint is verified. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { AutovibeError, type CheckpointId, isId } from '@autovibe/contract'
import { floorOf, type Room } from '@autovibe/core/limits/verdict.ts'
import { errnoOf, storeError } from '../store-errors.ts'
import { type TarToImport, treeOfTar } from './tree-of-tar.ts'
import { unpacked } from './unpacked.ts'

export interface Imports {
  readonly place: string
  /** Keeps the body, when all of it is a tar that can be imported; answers the SHA-256 of the plain tar. `archive.invalid` or `request.too_large` with nothing kept. */
  keep(checkpointId: CheckpointId, body: AsyncIterable<Uint8Array>, tar: TarToImport): Promise<string>
  /** Its path and bytes, from the start each time. */
  read(checkpointId: CheckpointId): { readonly file: string; readonly tar: AsyncIterable<Uint8Array> }
  /** One that is not there is no error. */
  drop(checkpointId: CheckpointId): Promise<void>
}

const SUFFIX = '.tar'
const READ_BYTES = 1024 * 1024
const LOOK_EVERY_BYTES = 64 * 1024 * 1024

/** Opens the folder, on whose disk there is so much `room`. What a Hub that died left is removed, unless somebody waits for it. */
export async function openImports(place: string, isAwaited: (checkpointId: CheckpointId) => Promise<boolean>, room: () => Promise<Room>): Promise<Imports> {
  const fileOf = (checkpointId: CheckpointId): string => join(place, `${checkpointId}${SUFFIX}`)
  await mkdir(place, { recursive: true, mode: 0o700 })
  for (const name of await readdir(place)) {
    const id = name.slice(0, -SUFFIX.length)
    if (!name.endsWith(SUFFIX) || !isId('checkpoint', id) || !(await isAwaited(id))) await rm(join(place, name), { force: true, recursive: true })
  }
  return {
    place,
    async keep(checkpointId, body, tar) {
      const partial = `${fileOf(checkpointId)}.partial`
      try {
        const sha256 = await copyLookingThrough(partial, body, tar, () => assertRoom(place, room))
        await rename(partial, fileOf(checkpointId))
        const folder = await open(place, 'r')
        await folder.sync().finally(() => folder.close())
        return sha256
      } catch (error) {
        await rm(partial, { force: true })
        throw isCutOff(error)
          ? new AutovibeError('request.invalid', 'The body ended early. Nothing was changed.', { cause: error, fix: 'Send it again.' })
          : storeError(error, place)
      }
    },
    read(checkpointId) {
      const file = fileOf(checkpointId)
      return { file, tar: bytesOf(file) }
    },
    drop: (checkpointId) => rm(fileOf(checkpointId), { force: true }),
  }
}

/** Opened only when it is read: a file that is gone by then fails the reader, not the process. */
async function* bytesOf(file: string): AsyncGenerator<Uint8Array, void> {
  yield* createReadStream(file, { highWaterMark: READ_BYTES }) as AsyncIterable<Uint8Array>
}

async function copyLookingThrough(partial: string, body: AsyncIterable<Uint8Array>, tar: TarToImport, assertRoomLeft: () => Promise<void>): Promise<string> {
  const hash = createHash('sha256')
  let unseen = LOOK_EVERY_BYTES
  await using file = await open(partial, 'wx', 0o600)
  async function* copied(): AsyncGenerator<Uint8Array, void> {
    for await (const chunk of unpacked(body)) {
      unseen += chunk.length
      if (unseen >= LOOK_EVERY_BYTES) {
        await assertRoomLeft()
        unseen = 0
      }
      hash.update(chunk)
      await file.writeFile(chunk)
      yield chunk
    }
  }
  for await (const change of treeOfTar(copied(), null, tar)) if (change.kind === 'put' && change.entry.type === 'file') for await (const _ of change.open());
  await file.sync()
  return hash.digest('hex')
}

/** What the Hub and its database need is not an import's to take. */
async function assertRoom(place: string, room: () => Promise<Room>): Promise<void> {
  const now = await room()
  if (now.freeBytes > floorOf(now) + LOOK_EVERY_BYTES) return
  throw new AutovibeError('substrate.disk_full', `The disk of ${place} is nearly full. Nothing was changed.`, {
    fix: `Free some space on it (df -h ${place}), then send it again.`,
  })
}

const isCutOff = (error: unknown): boolean => ['ECONNRESET', 'ERR_STREAM_PREMATURE_CLOSE', 'ABORT_ERR'].includes(errnoOf(error) ?? '')
