/** `GET /v1/checkpoints/:checkpoint/archive`: the tree of a checkpoint as a tar, streamed from the store. */
import { Readable } from 'node:stream'
import { ARCHIVE_HEADERS, ArchiveQuery, AutovibeError, CheckpointId } from '@autovibe/contract'
import { z } from 'zod'
import { chooseEntries, type IgnoreBase } from '../checkpoints/archive/choose-entries.ts'
import { archiveOf } from '../checkpoints/archive/write-archive.ts'
import type { Database } from '../database/database.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { Places } from './plumbing/places.ts'
import { findDiffBase, readSourceOf, readVerifiedCheckpoint } from './read/checkpoints.ts'

const TYPE = 'application/x-tar'
/** Each may hold a few contents, also for a client that does not read on. */
const UNDER_WAY_MAX = 8
const TAKE_ALL = 'Take the ignored files along: autovibe checkpoint export CHECKPOINT --branch --ignored'

export function registerCheckpointArchive(app: Api, { db, store, closing }: ApiContext): void {
  const places = new Places(UNDER_WAY_MAX, 'archives are being made')
  app.get(
    '/v1/checkpoints/:checkpoint/archive',
    {
      schema: {
        tags: ['checkpoints'],
        operationId: 'archiveCheckpoint',
        summary: 'Read the files of a checkpoint as a tar (POSIX pax)',
        params: z.object({ checkpoint: CheckpointId }),
        querystring: ArchiveQuery.strict(),
        response: { 200: { description: 'The tar; cut off when a content turns out to be damaged', content: { [TYPE]: { schema: z.any() } } } },
      },
    },
    async (request, reply) => {
      const { id, project_id, manifest_sha256 } = await readVerifiedCheckpoint(db, request.params.checkpoint)
      const source = await readSourceOf(db, id)
      const project = store.of(project_id)
      const leave = places.take()
      const gone = new AbortController()
      reply.raw.once('close', () => {
        gone.abort()
        leave()
      })
      const signal = AbortSignal.any([gone.signal, closing])
      const since = request.query.ignored ? null : await ignoreBase(db, id)
      const archive = archiveOf(project, id, chooseEntries(project, manifest_sha256, request.query, since), signal)
      // What fails before the first byte is an answer like any other; later, all that can be done is to break off.
      const first = await archive.next()
      if (source) reply.header(ARCHIVE_HEADERS.sourceCommit, source.commit).header(ARCHIVE_HEADERS.sourceBaseCommit, source.base_commit)
      reply
        .header('content-type', TYPE)
        // What an agent wrote must never run as a page of the Hub.
        .header('x-content-type-options', 'nosniff')
        .header('content-disposition', `attachment; filename="${id}.tar"`)
      return reply.send(Readable.from(following(first, archive), { objectMode: false }))
    },
  )
}

/** Where a diff of this checkpoint begins; all that lies in a `start`, or in the import of a known commit, git keeps track of. */
async function ignoreBase(db: Database, id: CheckpointId): Promise<IgnoreBase> {
  const base = await readVerifiedCheckpoint(db, await findDiffBase(db, id)).catch((error: unknown) => {
    if (!(error instanceof AutovibeError)) throw error
    throw new AutovibeError(error.code, `Which files are new, and so may be ignored, cannot be told: ${error.message}`, { cause: error, fix: TAKE_ALL })
  })
  const isOfCommit = base.trigger === 'start' || (base.trigger === 'import' && (await readSourceOf(db, base.id)) !== null)
  return { manifestSha256: base.manifest_sha256, isTracked: isOfCommit }
}

async function* following(first: IteratorResult<Uint8Array, void>, rest: AsyncGenerator<Uint8Array, void>): AsyncGenerator<Uint8Array, void> {
  try {
    if (first.done !== true) yield first.value
    yield* rest
  } finally {
    // Also when nobody has asked for more than the first.
    await rest.return()
  }
}
