/** `GET /v1/checkpoints/:checkpoint/content`: one file of a checkpoint, streamed from the store no faster than it is taken. */
import type { Readable } from 'node:stream'
import { AutovibeError, CheckpointId, ContentQuery } from '@autovibe/contract'
import { z } from 'zod'
import { answerStream, whileThere } from './plumbing/answer-stream.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { Places } from './plumbing/places.ts'
import { readVerifiedCheckpoint } from './read/checkpoints.ts'

const TYPE = 'application/octet-stream'
/** Each holds a piece of its file. */
const UNDER_WAY_MAX = 64

export function registerCheckpointContent(app: Api, { db, store, closing, stalledMs }: ApiContext): void {
  const places = new Places(UNDER_WAY_MAX, 'files of checkpoints are being read')
  app.get(
    '/v1/checkpoints/:checkpoint/content',
    {
      schema: {
        tags: ['checkpoints'],
        operationId: 'readCheckpointContent',
        summary: 'Read one file of a checkpoint',
        params: z.object({ checkpoint: CheckpointId }),
        querystring: ContentQuery.strict(),
        response: { 200: { description: 'The bytes of the file', content: { [TYPE]: { schema: z.any() } } } },
      },
    },
    async (request, reply) => {
      const checkpoint = await readVerifiedCheckpoint(db, request.params.checkpoint)
      const project = store.of(checkpoint.project_id)
      const entry = await project.entry(checkpoint.manifest_sha256, request.query.path)
      if (!entry)
        throw new AutovibeError('not_found', 'The checkpoint has no file at this path.', {
          fix: 'Paths start with project/ or home/; the diff names those that changed.',
        })
      if (entry.type !== 'file' || entry.sha256 === null) throw new AutovibeError('request.invalid', `This path is a ${entry.type}, which has no content.`)
      const headers = {
        'content-type': TYPE,
        'content-length': String(entry.size),
        // What an agent wrote must never run as a page of the Hub.
        'x-content-type-options': 'nosniff',
        'content-disposition': 'attachment',
        'content-security-policy': "default-src 'none'; sandbox",
      }
      const leave = places.take()
      try {
        const signal = whileThere(reply, closing)
        return await answerStream(request, reply, headers, piecesOf(await project.open(entry.sha256)), { signal, stalledMs })
      } finally {
        leave()
      }
    },
  )
}

/** Whoever stops taking ends the stream with it. */
async function* piecesOf(content: Readable): AsyncGenerator<Uint8Array, void> {
  for await (const piece of content) yield piece as Uint8Array
}
