/** What goes wrong between the Hub and a bucket, as errors of the product: what to wait for, and what a person must see to. */
import { AutovibeError } from '@autovibe/contract'

export interface S3Place {
  readonly place: string
  readonly bucket: string
}

export type S3Action = 'read' | 'write' | 'list' | 'delete'

/** What the account needs to be allowed, in the words of AWS. Without ListBucket, AWS says “denied” of an object that is not there. */
const PERMISSIONS: Readonly<Record<S3Action, string>> = {
  read: 's3:GetObject (and s3:ListBucket)',
  write: 's3:PutObject',
  list: 's3:ListBucket',
  delete: 's3:DeleteObject',
}

const DENIED = new Set(['AccessDenied', 'AllAccessDisabled', 'AccountProblem', 'KMS.AccessDeniedException'])
const BAD_KEYS = new Set(['InvalidAccessKeyId', 'SignatureDoesNotMatch', 'ExpiredToken', 'InvalidToken', 'TokenRefreshRequired', 'CredentialsProviderError'])
const FULL = new Set(['QuotaExceeded', 'StorageFull', 'XMinioStorageFull', 'XMinioAdminBucketQuotaExceeded', 'InsufficientStorage', 'InsufficientCapacity'])
const ELSEWHERE = new Set(['PermanentRedirect', 'TemporaryRedirect', 'AuthorizationHeaderMalformed', 'IllegalLocationConstraintException'])
const BUSY = new Set([
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'RequestLimitExceeded',
  'TooManyRequests',
  'RequestTimeout',
  'TimeoutError',
  'AbortError',
])
const UNREACHED = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ECONNABORTED'])

export const httpStatusOf = (thrown: unknown): number => (thrown as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode ?? 0
export const nameOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.name : '')

export function s3Error(thrown: unknown, { place, bucket }: S3Place, action: S3Action): AutovibeError {
  if (thrown instanceof AutovibeError) return thrown
  const [name, status] = [nameOf(thrown), httpStatusOf(thrown)]
  const code = (thrown as { code?: unknown }).code
  const options = { cause: thrown, internal: String(thrown) }
  if (FULL.has(name) || status === 507) {
    return new AutovibeError('substrate.disk_full', `The bucket ${bucket} of the checkpoint store takes no more (${name}).`, {
      ...options,
      fix: 'Raise its quota or free space in it, then try again.',
    })
  }
  // Before the status: some servers answer 403 to a request whose keys they do not know.
  if (BAD_KEYS.has(name)) {
    return new AutovibeError('substrate.failed', `The keys for the bucket ${bucket} were not accepted or not found (${name}).`, {
      ...options,
      retryable: false,
      fix: 'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile (AWS_PROFILE), then: autovibe down, autovibe up',
    })
  }
  if (DENIED.has(name) || status === 401 || status === 403) {
    return new AutovibeError('substrate.failed', `The bucket ${bucket} refuses to ${action}: the account lacks ${PERMISSIONS[action]} on ${place}.`, {
      ...options,
      retryable: false,
      fix: `Allow ${PERMISSIONS[action]}: docs/how-to/share-a-store.md has the whole policy.`,
    })
  }
  if (name === 'NoSuchBucket') {
    return new AutovibeError('substrate.failed', `The bucket ${bucket} of the checkpoint store does not exist.`, {
      ...options,
      retryable: false,
      fix: `Make it (aws s3 mb s3://${bucket}), or name another in AUTOVIBE_STORE.`,
    })
  }
  if (ELSEWHERE.has(name) || (status >= 300 && status < 400)) {
    return new AutovibeError('substrate.failed', `The bucket ${bucket} lies in another region or behind another endpoint (${name}).`, {
      ...options,
      retryable: false,
      fix: 'Name its region in AUTOVIBE_STORE: s3://BUCKET/PREFIX?region=REGION',
    })
  }
  if (status >= 500 || status === 429 || BUSY.has(name) || (typeof code === 'string' && UNREACHED.has(code))) {
    return new AutovibeError('substrate.unavailable', `The checkpoint store ${place} does not answer (${reason(name, status, code)}).`, {
      ...options,
      retryable: true,
      fix: 'Check the network and the state of the server; it is tried again.',
    })
  }
  return new AutovibeError('substrate.failed', `The checkpoint store ${place} could not ${action} (${reason(name, status, code)}).`, {
    ...options,
    fix: 'See the Hub log: autovibe logs --hub',
  })
}

/** Made of names and numbers alone: what a server says in prose is for the log. */
function reason(name: string, status: number, code: unknown): string {
  const words = [typeof code === 'string' ? code : name === 'Error' ? '' : name, status > 0 ? String(status) : ''].filter((word) => /^[\w.]{1,60}$/.test(word))
  return words.join(' ') || 'unknown reason'
}
