/** A store in an S3 bucket, which several Hubs may share: one object for each name, put whole by one request. */
import { randomBytes } from 'node:crypto'
import type { Readable } from 'node:stream'
import { AutovibeError } from '@autovibe/contract'
import type { GetObjectCommandOutput, S3Client } from '@aws-sdk/client-s3'
import type { Backend, Listed, PutOptions, Range } from './backend.ts'
import type { S3Config } from './s3-config.ts'
import { httpStatusOf, nameOf, type S3Action, type S3Place, s3Error } from './s3-errors.ts'

/** What is ours and no part of the store: the object on which conditional puts were tried. It stays, so that no Hub finds it gone because another has just tried. */
const TMP = 'tmp/'
const PROBE = `${TMP}probe`

const CONNECT_MS = 5_000
/** Nothing moves on a connection. */
const IDLE_MS = 30_000
/** One attempt; 16 MiB within it ask for 2.2 Mbit/s. */
const ATTEMPT_MS = 60_000
/** All attempts, rounds and the bytes of the answer together. */
const CALL_MS = 180_000
const ATTEMPTS = 4
/** A segment has a little more than 16 MiB. */
const READ_BYTES_MAX = 64 * 1024 * 1024
/** Of answers that break off in the middle, and of puts that crossed another of the same name: the SDK tries neither again. */
const ROUNDS = 3

/** Opens the bucket, which must be there. `substrate.failed` when the server does not keep to `If-None-Match`, without which two Hubs may overwrite one another's keys. */
export async function openS3(config: S3Config): Promise<Backend> {
  // Only here: the SDK takes memory and time at the start that a Hub with a store of its own does not need.
  const sdk = await import('@aws-sdk/client-s3')
  const client = connect(sdk.S3Client, config)
  await client.config.region().catch((cause: unknown) => {
    throw new AutovibeError('request.invalid', `Nothing says in which region the bucket ${config.bucket} lies.`, {
      cause,
      fix: `AUTOVIBE_STORE=s3://${config.bucket}/${config.prefix}?region=REGION`,
    })
  })
  const root = config.prefix === '' ? '' : `${config.prefix}/`
  const where: S3Place = {
    bucket: config.bucket,
    place: `s3://${config.bucket}/${root}${config.endpoint === null ? '' : ` at ${config.endpoint}`}`,
  }
  const at = (name: string) => ({ Bucket: config.bucket, Key: `${root}${name}` })
  const bound = () => ({ abortSignal: AbortSignal.timeout(CALL_MS) })
  const guarded = async <T>(action: S3Action, work: () => Promise<T>): Promise<T> => {
    try {
      return await work()
    } catch (error) {
      throw s3Error(error, where, action)
    }
  }

  async function put(name: string, bytes: Uint8Array, ifAbsent: boolean): Promise<boolean> {
    const limit = bound()
    for (let round = 1; ; round++) {
      try {
        await client.send(new sdk.PutObjectCommand({ ...at(name), Body: bytes, ...(ifAbsent ? { IfNoneMatch: '*' } : {}) }), limit)
        return true
      } catch (error) {
        if (!ifAbsent) throw error
        if (httpStatusOf(error) === 412) return await isOurs(name, bytes, error)
        // Another put of the same name was under way: who won is known at the next try.
        if (httpStatusOf(error) !== 409 || round === ROUNDS) throw error
      }
    }
  }

  /** What is there may have been put by an earlier attempt of the same call, whose answer was lost. */
  async function isOurs(name: string, bytes: Uint8Array, error: unknown): Promise<boolean> {
    const { attempts = 1 } = (error as { $metadata?: { attempts?: number } }).$metadata ?? {}
    return attempts > 1 && (await get(name))?.equals(bytes) === true
  }

  async function get(name: string, range?: Range): Promise<Buffer | null> {
    const limit = bound()
    for (let round = 1; ; round++) {
      const answer = await request(name, range, limit)
      if (answer === null || Buffer.isBuffer(answer)) return answer
      try {
        const bytes = await readAll(answer.Body as Readable, where)
        return range === undefined ? bytes : cut(bytes, range, answer.ContentRange === undefined)
      } catch (error) {
        if (error instanceof AutovibeError || round === ROUNDS) throw error
      }
    }
  }

  async function request(name: string, range: Range | undefined, limit: ReturnType<typeof bound>): Promise<GetObjectCommandOutput | Buffer | null> {
    try {
      return await client.send(new sdk.GetObjectCommand({ ...at(name), ...(range === undefined ? {} : { Range: headerOf(range) }) }), limit)
    } catch (error) {
      if (nameOf(error) === 'NoSuchKey' || (httpStatusOf(error) === 404 && nameOf(error) !== 'NoSuchBucket')) return null
      // It is there, but the range begins beyond its end.
      if (httpStatusOf(error) === 416 && range !== undefined) return Buffer.alloc(0)
      throw error
    }
  }

  async function* list(folder: string): AsyncGenerator<Listed, void> {
    const prefix = folder === '' ? root : `${root}${folder}/`
    for (let token: string | undefined, isLast = false; !isLast; ) {
      const page = await guarded('list', () =>
        client.send(
          new sdk.ListObjectsV2Command({ Bucket: config.bucket, Prefix: prefix, ...(token === undefined ? {} : { ContinuationToken: token }) }),
          bound(),
        ),
      )
      for (const { Key = '', Size = 0 } of page.Contents ?? []) {
        const name = Key.slice(root.length)
        // An object that stands for a folder is what some consoles make.
        if (Key.startsWith(prefix) && !name.startsWith(TMP) && name !== '' && !name.endsWith('/')) yield { name, bytes: Size }
      }
      isLast = page.IsTruncated !== true
      if (!isLast && (page.NextContinuationToken === undefined || page.NextContinuationToken === token)) throw odd(where, 'lists without an end')
      token = page.NextContinuationToken
    }
  }

  await guarded('write', async () => {
    // There is none at the first opening. Then the second try tells. Bytes of their own, so that what another try has put is not taken for this one's.
    if ((await put(PROBE, randomBytes(16), true)) && (await put(PROBE, randomBytes(16), true)))
      throw odd(where, 'overwrites objects that are there in spite of “If-None-Match: *”, so that two Hubs could lose one another’s keys')
  })
  return {
    place: where.place,
    // Whatever is put is durable when the server has answered, fleeting or not.
    put: (name, bytes, { ifAbsent = false }: PutOptions = {}) =>
      guarded('write', () => put(name, bytes instanceof Uint8Array ? bytes : Buffer.concat(bytes), ifAbsent)),
    get: (name, range) => guarded('read', () => get(name, range)),
    list,
    delete: (name) =>
      guarded('delete', async () => {
        await client.send(new sdk.DeleteObjectCommand(at(name)), bound())
      }),
  }
}

function connect(Client: typeof S3Client, { endpoint, region, pathStyle, credentials }: S3Config): S3Client {
  return new Client({
    ...(endpoint === null ? {} : { endpoint }),
    ...(region === null ? {} : { region }),
    ...(credentials === null ? {} : { credentials }),
    forcePathStyle: pathStyle,
    maxAttempts: ATTEMPTS,
    requestHandler: { connectionTimeout: CONNECT_MS, socketTimeout: IDLE_MS, requestTimeout: ATTEMPT_MS, throwOnRequestTimeout: true },
    // Many servers refuse the newer checksums, and nothing needs them here: the signature of a put covers the SHA-256 of its body, and everything that is read is authenticated by its own seal.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  })
}

/** A byte is asked for where none is wanted: an empty range cannot be said, and a server then gives the whole. */
const headerOf = ({ offset, length }: Range): string => (offset < 0 ? `bytes=${offset}` : `bytes=${offset}-${offset + Math.max(1, length) - 1}`)

/** `isWhole`: the server did not keep to the range. */
function cut(bytes: Buffer, { offset, length }: Range, isWhole: boolean): Buffer {
  const from = !isWhole ? 0 : offset < 0 ? Math.max(0, bytes.length + offset) : offset
  return bytes.subarray(from, from + length)
}

async function readAll(body: Readable, where: S3Place): Promise<Buffer> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of body as AsyncIterable<Buffer>) {
    bytes += part.length
    if (bytes > READ_BYTES_MAX) throw odd(where, `gives more than ${READ_BYTES_MAX} bytes of one object`)
    parts.push(part)
  }
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts, bytes)
}

const odd = ({ place }: S3Place, what: string): AutovibeError =>
  new AutovibeError('substrate.failed', `The server of ${place} ${what}.`, { retryable: false, fix: 'Use another server, or leave AUTOVIBE_STORE out.' })
