/** `/v1/checkpoints/{id}/diff`: what changed between two checkpoints of a project, answered while it is made, as lines for programs or as a patch for git. */
import { AutovibeError, CheckpointId, type DiffHead, DiffLine, DiffQuery, type DiffTotals, type FileChange } from '@autovibe/contract'
import { z } from 'zod'
import { diffCheckpoints } from '../checkpoints/diff/diff-checkpoints.ts'
import { patchText } from '../checkpoints/diff/patch-text.ts'
import { answerStream, whileThere } from './plumbing/answer-stream.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { Places } from './plumbing/places.ts'
import { translate } from './plumbing/problems.ts'
import { findDiffBase, readSourceOf, readVerifiedCheckpoint } from './read/checkpoints.ts'

/** Each may hold a few contents of 8 MiB and the names of 100,000 files. */
const UNDER_WAY_MAX = 8

export function registerCheckpointDiff(app: Api, context: ApiContext): void {
  const { db, store, closing } = context
  const places = new Places(UNDER_WAY_MAX, 'differences are being made')

  app.get(
    '/v1/checkpoints/:checkpoint/diff',
    {
      schema: {
        tags: ['checkpoints'],
        operationId: 'diffCheckpoint',
        summary: 'Show what changed in the project between two checkpoints',
        description:
          'Answers as application/x-ndjson, one DiffLine a line: the head, each file, then the end with the totals, or the problem that ended it. With "Accept: text/x-diff" as one ' +
          'patch for `git apply`; what it cannot hold is named in lines that begin with "#". It is sent while it is made, so that a failure may come late: a patch then ends in a way ' +
          'that git refuses, and the connection breaks off.',
        params: z.object({ checkpoint: CheckpointId }),
        querystring: DiffQuery.strict(),
        response: {
          200: { description: 'The difference', content: { 'application/x-ndjson': { schema: DiffLine }, 'text/x-diff': { schema: z.string() } } },
        },
      },
    },
    async (request, reply) => {
      const isPatch = request.headers.accept?.includes('text/x-diff') === true
      const { against, detail, renames } = request.query
      if (isPatch && (detail === 'names' || detail === 'lines')) {
        throw new AutovibeError('request.invalid', `A patch cannot have the detail ${detail}.`, { fix: 'Ask for detail=whole or detail=text.' })
      }
      const after = await readVerifiedCheckpoint(db, request.params.checkpoint)
      const before = await readVerifiedCheckpoint(db, against ?? (await findDiffBase(db, after.id)))
      if (before.project_id !== after.project_id)
        throw new AutovibeError('request.invalid', `${before.id} and ${after.id} are of two projects.`, {
          fix: `Compare checkpoints of one project: autovibe checkpoint list ${after.machine_id}`,
        })
      const source = await readSourceOf(db, after.id)
      const head: DiffHead = {
        checkpoint_id: after.id,
        against_id: before.id,
        source_commit: source?.commit ?? null,
        source_base_commit: source?.base_commit ?? null,
      }
      const leave = places.take()
      try {
        const signal = whileThere(reply, closing)
        const trees = { store: store.of(after.project_id), beforeManifestSha256: before.manifest_sha256, afterManifestSha256: after.manifest_sha256, signal }
        const files = diffCheckpoints(trees, { detail, renames })
        return isPatch
          ? await answerStream(request, reply, HEADERS.patch, patchText(files), { signal })
          : await answerStream(request, reply, HEADERS.lines, linesOf(head, files, request.id), { signal })
      } finally {
        leave()
      }
    },
  )
}

/** What an agent wrote must never run as a page of the Hub. */
const SAFE = { 'x-content-type-options': 'nosniff', 'content-security-policy': "default-src 'none'; sandbox" }
const HEADERS = {
  patch: { ...SAFE, 'content-type': 'text/x-diff; charset=utf-8' },
  lines: { ...SAFE, 'content-type': 'application/x-ndjson; charset=utf-8' },
}

async function* linesOf(head: DiffHead, files: AsyncGenerator<FileChange, DiffTotals>, requestId: string): AsyncGenerator<string, void> {
  // The first file comes before the head is sent, so that what fails at once is an ordinary problem.
  let next = await files.next()
  yield line({ type: 'diff', ...head })
  try {
    for (; !next.done; next = await files.next()) yield line({ type: 'file', ...next.value })
    yield line({ type: 'end', ...next.value })
  } catch (thrown) {
    yield line({ type: 'problem', problem: translate(thrown).toProblem(requestId) })
    throw thrown
  }
}

const line = (value: DiffLine): string => `${JSON.stringify(value)}\n`
