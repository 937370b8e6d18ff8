/** `POST /v1/projects/:project/checkpoints`: takes a tar as a stream, looks through all of it, and has a checkpoint made of it. */
import type { Readable } from 'node:stream'
import { AutovibeError, CreatedCheckpoint, ImportCheckpointQuery } from '@autovibe/contract'
import { ARCHIVE_BYTES_MAX } from '../checkpoints/archive/unpacked.ts'
import { ARCHIVE_TYPES } from './plumbing/bodies.ts'
import { change } from './plumbing/change.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { Places } from './plumbing/places.ts'
import { ProjectPath } from './projects.ts'
import { readCheckpoint } from './read/checkpoints.ts'
import { readProject } from './read/projects.ts'

/** Each holds the names of up to a million files while it is looked through. */
const UNDER_WAY_MAX = 2

export function registerCheckpointImport(app: Api, context: ApiContext): void {
  const { db, runtime, imports, requests } = context
  const schema = {
    tags: ['checkpoints'],
    operationId: 'importCheckpoint',
    summary: 'Import a checkpoint of a project: a tar, plain or packed with gzip or zstd, as the body',
    consumes: ARCHIVE_TYPES,
    params: ProjectPath,
    querystring: ImportCheckpointQuery.strict(),
    response: { 202: CreatedCheckpoint },
  }
  const places = new Places(UNDER_WAY_MAX, 'archives are being received')
  app.post('/v1/projects/:project/checkpoints', { bodyLimit: ARCHIVE_BYTES_MAX, schema }, async (request, reply) => {
    const { id: projectId } = await readProject(db, request.params.project)
    const { contents, label = null, commit = null } = request.query
    const body = request.body as unknown
    if (!isReadable(body)) throw new AutovibeError('request.invalid', 'The request has no body.', { fix: 'Send the tar as the body.' })
    const leave = places.take()
    const checkpointId = runtime.newId('checkpoint')
    // One that is refused is left unread, not torn off: who still sends could not read the answer.
    const sha256 = await imports.keep(checkpointId, body.iterator({ destroyOnReturn: false }), { contents, timeMs: 0 }).finally(leave)
    // What a repeat of the request is compared by: the stream itself is gone.
    ;(request as { body: unknown }).body = { sha256 }
    let isWanted = false
    try {
      return await change(context, request, reply, { action: 'checkpoint.import', status: 202 }, async (tx) => {
        const { operationId } = await requests.importCheckpoint(tx, { checkpointId, projectId, contents, label, commit })
        isWanted = true
        return {
          body: { checkpoint: await readCheckpoint(tx, checkpointId), operation_id: operationId },
          subject: checkpointId,
          detail: { project: projectId, sha256 },
        }
      })
    } catch (error) {
      isWanted = false
      throw error
    } finally {
      // A repeat was answered with the first one's checkpoint.
      if (!isWanted) await imports.drop(checkpointId)
    }
  })
}

const isReadable = (body: unknown): body is Readable => typeof body === 'object' && body !== null && Symbol.asyncIterator in body
