/** Brings the imported source into the empty project folder: fetches the bundle, checks it, and checks it out without any remote. */
import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { AutovibeError, type Instructions } from '@autovibe/contract'
import type { Paths } from '../adapters/adapter.ts'
import { HUB_BACKOFF, waitBackoff } from '../door/backoff.ts'
import { HubLost } from '../door/wire.ts'
import { wordsOf } from '../log.ts'
import { commandEnvironment, runCommand } from '../process/command.ts'

export type Source = NonNullable<Instructions['source']>

/** Where the preparation stands, kept in the tree: `begun` is a checkout that may be half, `ready` one whose first checkpoint is due. */
type Mark = { readonly sha256: string; readonly state: 'begun' | 'ready' | 'kept' }

export interface SourceDoor {
  source(signal?: AbortSignal): Promise<Readable>
}

/**
 * The project folder holds the source; true when its untouched form is not kept in a checkpoint yet.
 * A folder that already holds something else is left as it is. Throws `project.source_invalid`.
 */
export async function prepareSource(door: SourceDoor, source: Source, paths: Paths, machineId: string, signal: AbortSignal): Promise<boolean> {
  const mark = await readMark(paths)
  const isOurs = mark?.sha256 === source.sha256
  if (isOurs && mark.state !== 'begun') return mark.state === 'ready'
  await mkdir(paths.project, { recursive: true })
  const isEmpty = (await readdir(paths.project)).length === 0
  if (!isEmpty && !(isOurs && mark.state === 'begun')) return false

  await writeMark(paths, { sha256: source.sha256, state: 'begun' })
  const bundle = join(stateFolder(paths), 'incoming.bundle')
  try {
    await fetchBundle(door, source, bundle, signal)
    await empty(paths.project)
    await checkOut(source, bundle, paths, machineId, signal)
  } finally {
    await rm(bundle, { force: true })
  }
  await writeMark(paths, { sha256: source.sha256, state: 'ready' })
  return true
}

/** Remembers, across restarts, that the untouched source is in a checkpoint. */
export async function markSourceKept(paths: Paths): Promise<void> {
  const mark = await readMark(paths)
  if (mark) await writeMark(paths, { ...mark, state: 'kept' })
}

/** Answers that began and were not the source; a Hub that is away is waited for as long as it takes. */
const WRONG_MAX = 6

async function fetchBundle(door: SourceDoor, source: Source, file: string, signal: AbortSignal): Promise<void> {
  let wrong = 0
  for (let attempt = 0; ; attempt++) {
    try {
      const hash = createHash('sha256')
      let bytes = 0
      const measure = new Transform({
        transform(chunk: Buffer, _encoding, done) {
          bytes += chunk.length
          hash.update(chunk)
          done(bytes > source.bytes ? new AutovibeError('project.source_invalid', 'It is larger than announced.') : null, chunk)
        },
      })
      await pipeline(await door.source(signal), measure, createWriteStream(file, { mode: 0o600 }), { signal })
      if (bytes === source.bytes && hash.digest('hex') === source.sha256) return
      throw new AutovibeError('project.source_invalid', 'It is not the announced one.')
    } catch (error) {
      signal.throwIfAborted()
      if (isDiskFull(error)) throw new AutovibeError('substrate.disk_full', 'The machine has no room for the source.', { cause: error })
      if (!(error instanceof HubLost) && ++wrong === WRONG_MAX)
        throw new AutovibeError('project.source_invalid', `The source did not come whole in ${WRONG_MAX} attempts. ${wordsOf(error)}`, { cause: error })
      await waitBackoff(HUB_BACKOFF, attempt, signal)
    }
  }
}

async function checkOut(source: Source, bundle: string, paths: Paths, machineId: string, signal: AbortSignal): Promise<void> {
  const branch = source.branch ?? 'main'
  const git = (...args: string[]): Promise<void> => runGit(paths, args, signal)
  await git('init', '--quiet', '--template=')
  await git('check-ref-format', `refs/heads/${branch}`)
  await git('symbolic-ref', 'HEAD', `refs/heads/${branch}`)
  await git('config', 'user.name', machineId)
  await git('config', 'user.email', `${machineId}@autovibe.invalid`)
  await git('fetch', '--quiet', '--no-tags', '--no-write-fetch-head', bundle, `+${source.ref}:refs/autovibe/source`)
  await git('reset', '--quiet', '--hard', 'refs/autovibe/source')
  await git('update-ref', '-d', 'refs/autovibe/source')
  // In a user namespace the folder can belong to another number than the agent runs as.
  await git('config', '--global', '--replace-all', 'safe.directory', paths.project, `^${paths.project.replace(/[^A-Za-z0-9/]/g, '.')}$`)
}

const GIT_MS = 10 * 60_000

async function runGit(paths: Paths, args: readonly string[], signal: AbortSignal): Promise<void> {
  const result = await runCommand({
    program: 'git',
    args: ['-C', paths.project, '-c', 'core.hooksPath=/dev/null', '-c', 'core.fsmonitor=false', '-c', `safe.directory=${paths.project}`, ...args],
    cwd: paths.project,
    env: { ...commandEnvironment(paths.home), GIT_CONFIG_NOSYSTEM: '1' },
    timeoutMs: GIT_MS,
    headBytes: 1_000,
    tailBytes: 1_000,
    signal,
  })
  signal.throwIfAborted()
  if (result.exitCode === 0) return
  throw new AutovibeError('project.source_invalid', `The source cannot be checked out: git ${args[0]}: ${result.output.trim() || 'no reason given'}`)
}

async function empty(folder: string): Promise<void> {
  for (const name of await readdir(folder)) await rm(join(folder, name), { recursive: true, force: true })
}

function stateFolder(paths: Paths): string {
  return join(paths.home, '.autovibe')
}

async function readMark(paths: Paths): Promise<Mark | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(join(stateFolder(paths), 'source.json'), 'utf8'))
    return isMark(value) ? value : undefined
  } catch (error) {
    if (error instanceof SyntaxError || (error instanceof Error && 'code' in error && error.code === 'ENOENT')) return undefined
    throw error
  }
}

async function writeMark(paths: Paths, mark: Mark): Promise<void> {
  await mkdir(stateFolder(paths), { recursive: true })
  const file = join(stateFolder(paths), 'source.json')
  await writeFile(`${file}.new`, JSON.stringify(mark))
  await rename(`${file}.new`, file)
}

function isMark(value: unknown): value is Mark {
  if (typeof value !== 'object' || value === null || !('sha256' in value) || !('state' in value)) return false
  return typeof value.sha256 === 'string' && (value.state === 'begun' || value.state === 'ready' || value.state === 'kept')
}

function isDiskFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')
}
