/** The checkpoints of one project: its key, objects and names, opened when they are first needed. */
import { AutovibeError, Sha256 } from '@autovibe/contract'
import type { Backend } from './backends/backend.ts'
import { captureTree } from './capture.ts'
import { collectSegments } from './collect.ts'
import type { HostFiles } from './host-files/host-files.ts'
import { beginWriting, endOldIntents, LeftIntents, type Writer } from './intents.ts'
import { diffTrees } from './manifest-tree/diff-trees.ts'
import type { ReadNode } from './manifest-tree/ports.ts'
import { findEntry, readEntries } from './manifest-tree/read-entries.ts'
import { openContent } from './read-content.ts'
import { keepRef, readRef } from './refs.ts'
import { restoreTree } from './restore-tree.ts'
import { scrubSegments } from './scrub.ts'
import { ContentWriter, gearsOf } from './segments/content-writer.ts'
import { refName } from './segments/names.ts'
import { ObjectStore } from './segments/object-store.ts'
import type { Captured, CaptureTree, ProjectStore } from './store.ts'
import { verifyManifest } from './verify.ts'

interface Opened {
  readonly key: Buffer
  readonly gears: Uint32Array
  readonly objects: ObjectStore
  readonly read: ReadNode
}

export interface ProjectPlace {
  readonly backend: Backend
  /** Where all of the project lies. */
  readonly folder: string
  /** Who this is among the Hubs that write there, null when nobody else does. */
  readonly writer: Writer | null
  /** By which trees of this host are read and written. */
  readonly files: HostFiles
}

export function projectStore({ backend, folder, writer, files }: ProjectPlace, findKey: () => Promise<Buffer>): ProjectStore {
  let opening: Promise<Opened> | null = null
  const left = new LeftIntents()

  async function open(): Promise<Opened> {
    const key = await findKey()
    // Before anything begins here: none of this process is among them.
    await endOldIntents(backend, folder, writer)
    const objects = await ObjectStore.open(backend, folder, key)
    return { key, gears: gearsOf(key), objects, read: (sha256) => objects.read('node', sha256) }
  }

  /** One that failed is tried again by whoever comes next. */
  function opened(): Promise<Opened> {
    opening ??= open().catch((error: unknown) => {
      opening = null
      throw error
    })
    return opening
  }

  async function capture({ checkpointId, parent, changes }: CaptureTree, signal: AbortSignal): Promise<Captured> {
    const { key, gears, objects } = await opened()
    // What is still there then keeps nobody from writing: the next collection says so.
    await left.endAgain(backend)
    const intent = await beginWriting(backend, folder, writer, left)
    try {
      // What another Hub has deleted meanwhile must not be taken for stored; what it deletes from now on is among the condemned.
      if (writer !== null) await objects.refresh()
      const segments = objects.writer(intent.id)
      const to = { objects, files, writer: segments, contents: new ContentWriter(objects, segments, gears, intent.condemned) }
      const captured = await captureTree(to, parent === null ? null : checked(parent.manifestSha256), changes, signal)
      await keepRef(backend, folder, key, { checkpointId, manifestSha256: captured.manifestSha256 })
      // What is shared with the parent was not stored again: only a parent that is still kept, now that its child is, vouches for it.
      if (parent === null || (await readRef(backend, folder, key, parent.checkpointId)) === parent.manifestSha256) return captured
      await backend.delete(refName(folder, checkpointId))
      throw new AutovibeError('checkpoint.corrupt', `The checkpoint ${parent.checkpointId}, which this one builds on, is no longer kept.`, {
        fix: 'Take the checkpoint again: it then builds on an earlier one.',
      })
    } finally {
      await intent.end()
    }
  }

  return {
    capture,
    async verify(manifestSha256, sinceManifestSha256, signal) {
      return await verifyManifest((await opened()).objects, checked(manifestSha256), sinceManifestSha256, signal)
    },
    async *entries(manifestSha256, under, after) {
      const wanted = { ...(under === undefined ? {} : { under }), ...(after === undefined ? {} : { after }) }
      yield* readEntries(checked(manifestSha256), (await opened()).read, wanted)
    },
    async entry(manifestSha256, path) {
      return await findEntry(checked(manifestSha256), path, (await opened()).read)
    },
    async *difference(before, after) {
      yield* diffTrees(checked(before), checked(after), (await opened()).read)
    },
    async open(sha256) {
      return await openContent((await opened()).objects, checked(sha256))
    },
    async restore(manifestSha256, target, signal) {
      await restoreTree({ objects: (await opened()).objects, files }, checked(manifestSha256), target, signal)
    },
    async collect(signal) {
      const { key, objects } = await opened()
      return await collectSegments({ backend, folder, key, objects, writer, left }, signal)
    },
    async scrub(bytesPerSecond, signal) {
      const { key, objects } = await opened()
      return await scrubSegments({ backend, folder, key, objects, writer, left }, bytesPerSecond, signal)
    },
    async size() {
      const { objects } = await opened()
      await objects.refresh()
      return { storedBytes: objects.segments.reduce((sum, { bytes }) => sum + bytes, 0), uniqueBytes: objects.contentBytes }
    },
    forget: (checkpointId) => backend.delete(refName(folder, checkpointId)),
  }
}

function checked(sha256: string): string {
  if (!Sha256.safeParse(sha256).success) throw new AutovibeError('request.invalid', 'Contents and manifests are named by 64 lower-case hex digits.')
  return sha256
}
