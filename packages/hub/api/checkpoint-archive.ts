/** `GET /v1/checkpoints/:checkpoint/archive`: the tree of a checkpoint as a tar, streamed from the store no faster than it is taken. */
import { ARCHIVE_HEADERS, ArchiveQuery, AutovibeError, CheckpointId } from '@autovibe/contract'
import { z } from 'zod'
import { chooseEntries, type IgnoreBase } from '../checkpoints/archive/choose-entries.ts'
import { archiveOf } from '../checkpoints/archive/write-archive.ts'
import type { Database } from '../database/database.ts'
import { answerStream, whileThere } from './plumbing/answer-stream.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { Places } from './plumbing/places.ts'
import { findDiffBase, readSourceOf, readVerifiedCheckpoint } from './read/checkpoints.ts'

const TYPE = 'application/x-tar'
/** Each holds a few contents. */
const UNDER_WAY_MAX = 8
const TAKE_ALL = 'Take the ignored files along: autovibe checkpoint export CHECKPOINT --branch --ignored'

export function registerCheckpointArchive(app: Api, { db, store, closing, stalledMs }: ApiContext): void {
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
      const since = request.query.ignored ? null : await ignoreBase(db, id)
      const headers = {
        'content-type': TYPE,
        // What an agent wrote must never run as a page of the Hub.
        'x-content-type-options': 'nosniff',
        'content-disposition': `attachment; filename="${id}.tar"`,
        ...(source ? { [ARCHIVE_HEADERS.sourceCommit]: source.commit, [ARCHIVE_HEADERS.sourceBaseCommit]: source.base_commit } : {}),
      }
      const leave = places.take()
      try {
        const signal = whileThere(reply, closing)
        const archive = archiveOf(project, id, chooseEntries(project, manifest_sha256, request.query, since), signal)
        return await answerStream(request, reply, headers, archive, { signal, stalledMs })
      } finally {
        leave()
      }
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
