/** Errors of calls to the kernel and to tools, as ours. */
import { AutovibeError } from '@autovibe/contract'

/** `what` is the beginning of a sentence. A full disk has its own code. */
export function callFailure(what: string, error: unknown): AutovibeError {
  if (error instanceof AutovibeError) return error
  const { code } = error as NodeJS.ErrnoException
  const internal = error instanceof Error ? (error.stack ?? error.message) : String(error)
  const options = { internal, cause: error }
  if (code === 'ENOSPC' || code === 'EDQUOT') return new AutovibeError('substrate.disk_full', `${what} failed: the machine’s disk is full.`, options)
  return new AutovibeError('substrate.failed', `${what} failed${code === undefined ? '' : ` (${code})`}.`, options)
}
