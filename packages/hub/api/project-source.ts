/** `PUT /v1/projects/{project}/source`: takes a git bundle as a stream, keeps it under its SHA-256, and makes it what new machines start from. */
import { createHash, randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { AutovibeError, ImportSourceQuery, Project, SOURCE_REF } from '@autovibe/contract'
import { recordEvent } from '../database/events.ts'
import { BUNDLE_TYPES } from './plumbing/bodies.ts'
import { change } from './plumbing/change.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { ProjectPath } from './projects.ts'
import { readProject } from './read/projects.ts'

const BUNDLE_BYTES_MAX = 2 * 1024 ** 3
/** How much of the start may be taken up by the header: one line for each ref, of which there is to be one. */
const HEADER_BYTES_MAX = 64 * 1024

export function registerProjectSource(app: Api, context: ApiContext): void {
  const { db, runtime, dataDir } = context
  const schema = {
    tags: ['projects'],
    operationId: 'importSource',
    summary: 'Import the source of a project: a git bundle (v2 or v3, without prerequisites) as the body',
    consumes: BUNDLE_TYPES,
    params: ProjectPath,
    querystring: ImportSourceQuery.strict(),
    response: { 200: Project },
  }
  app.put('/v1/projects/:project/source', { bodyLimit: BUNDLE_BYTES_MAX, schema }, async (request, reply) => {
    const project = await readProject(db, request.params.project)
    const { commit, base_commit, branch, dirty } = request.query
    const body = request.body as unknown
    if (!isReadable(body)) throw invalid('The request has no body.')
    const { sha256, bytes } = await keepBundle(join(dataDir, 'sources'), body, commit)

    return change(context, request, reply, { action: 'project.import_source', status: 200 }, async (tx) => {
      const source = { bytes: BigInt(bytes), commit, base_commit, branch: branch ?? null, dirty, imported_at: runtime.now() }
      await tx
        .insertInto('sources')
        .values({ sha256, ...source })
        .onConflict((oc) => oc.column('sha256').doUpdateSet(source))
        .execute()
      await tx.updateTable('projects').set({ source_sha256: sha256 }).where('id', '=', project.id).execute()
      await recordEvent(tx, runtime, {
        type: 'project.source_imported',
        project_id: project.id,
        data: { sha256, bytes, commit, base_commit, branch: branch ?? null, dirty },
      })
      return { body: await readProject(tx, project.id), subject: project.id, detail: { sha256, commit } }
    })
  })
}

const isReadable = (body: unknown): body is Readable => typeof body === 'object' && body !== null && Symbol.asyncIterator in body

/** Writes the stream to `<folder>/<sha256>.bundle`: whole and synced, or not at all. */
async function keepBundle(folder: string, body: Readable, commit: string): Promise<{ sha256: string; bytes: number }> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const temporary = join(folder, `.${randomBytes(12).toString('hex')}.partial`)
  try {
    const file = await open(temporary, 'wx', 0o600)
    let kept: { sha256: string; bytes: number }
    try {
      kept = await copyAndCheck(body, file, commit)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, join(folder, `${kept.sha256}.bundle`))
    const parent = await open(folder, 'r')
    await parent.sync().finally(() => parent.close())
    return kept
  } catch (error) {
    await rm(temporary, { force: true })
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOSPC' || code === 'EDQUOT') {
      throw new AutovibeError('substrate.disk_full', 'The disk of the data directory is full; nothing was imported.', {
        cause: error,
        fix: 'Free some space and import again.',
      })
    }
    if (code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE') throw invalid('The body ended early.')
    throw error
  }
}

async function copyAndCheck(body: Readable, file: FileHandle, commit: string): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash('sha256')
  let bytes = 0
  let header: Buffer | null = Buffer.alloc(0)
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > BUNDLE_BYTES_MAX) throw new AutovibeError('request.too_large', 'The bundle is larger than 2 GiB.', { fix: 'Import a shallower history.' })
    if (header !== null) {
      header = Buffer.concat([header, chunk.subarray(0, HEADER_BYTES_MAX)])
      if (checkHeader(header, commit)) header = null
      else if (header.length >= HEADER_BYTES_MAX) throw invalid('Its header is longer than 64 KiB.')
    }
    hash.update(chunk)
    await file.writeFile(chunk)
  }
  if (header !== null) throw invalid('It ends within its header.')
  return { sha256: hash.digest('hex'), bytes }
}

const SIGNATURES = ['# v2 git bundle', '# v3 git bundle']

/** False until the header is whole. Its form: gitformat-bundle(5) - signature, capabilities (@), prerequisites (-), refs, an empty line. */
function checkHeader(start: Buffer, commit: string): boolean {
  const [signature = ''] = start.toString('latin1', 0, 16).split('\n', 1)
  if (start.length >= 16 && !SIGNATURES.includes(signature)) throw invalid('It does not start as a git bundle does.')
  const end = start.indexOf('\n\n')
  if (end < 0) return false
  const lines = start.toString('latin1', 0, end).split('\n')
  if (!SIGNATURES.includes(lines[0] ?? '')) throw invalid('It does not start as a git bundle does.')
  if (lines.slice(1).some((line) => line.startsWith('-')))
    throw invalid('It needs commits that are not in it (it was made with a range or of a shallow clone).')
  if (!lines.includes(`${commit} ${SOURCE_REF}`)) throw invalid(`It does not hold ${SOURCE_REF} at the commit ${commit}.`)
  return true
}

function invalid(why: string): AutovibeError {
  return new AutovibeError('project.source_invalid', `The source cannot be imported. ${why}`, {
    fix: `Make it with: git update-ref ${SOURCE_REF} COMMIT && git bundle create FILE ${SOURCE_REF}`,
  })
}
