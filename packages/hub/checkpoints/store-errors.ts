/** What goes wrong at the store's disk, and at the tree it reads, as errors of the product. */
import { AutovibeError } from '@autovibe/contract'

const FULL = new Set(['ENOSPC', 'EDQUOT'])
const UNREAD = 'EIO'

/** An error of the store's own disk; our errors and an abort pass as they are. */
export function storeError(thrown: unknown, folder: string): unknown {
  if (thrown instanceof AutovibeError || isAbort(thrown)) return thrown
  const code = errnoOf(thrown)
  if (code !== null && FULL.has(code)) {
    return new AutovibeError('substrate.disk_full', `The disk of the checkpoint store is full (${folder}).`, {
      cause: thrown,
      fix: `Free space on it (df -h ${folder}), then try again.`,
    })
  }
  return new AutovibeError('substrate.failed', `The checkpoint store could not be written or read (${code ?? 'unknown reason'}).`, {
    cause: thrown,
    internal: String(thrown),
    // What a disk does not give once it may give at the next attempt.
    ...(code === UNREAD
      ? { retryable: true, fix: `Check the disk of ${folder} (dmesg), then try again.` }
      : { fix: `Check the disk and the permissions of ${folder}.` }),
  })
}

/** The disk did not give what was asked of it: whether that is sound nobody knows. */
export const isUnread = (thrown: unknown): thrown is AutovibeError => thrown instanceof AutovibeError && errnoOf(thrown.cause) === UNREAD

/** An error while a file of the captured tree was read; a file that is gone or stale may be read at the next attempt. */
export function treeError(name: string, thrown: unknown): unknown {
  if (thrown instanceof AutovibeError || isAbort(thrown)) return thrown
  const code = errnoOf(thrown)
  return new AutovibeError('substrate.failed', `${name} could not be read while it was captured (${code ?? 'unknown reason'}).`, {
    cause: thrown,
    internal: String(thrown),
    retryable: code === 'ENOENT' || code === 'ESTALE' || code === 'ENOTDIR',
    fix: 'Take the checkpoint again.',
  })
}

export const treeChanged = (name: string, what: string): AutovibeError =>
  new AutovibeError('substrate.failed', `${name} changed while it was captured: ${what}.`, { retryable: true, fix: 'Take the checkpoint again.' })

export const corrupt = (message: string, cause?: unknown): AutovibeError =>
  new AutovibeError('checkpoint.corrupt', message, { cause, fix: 'Use another checkpoint (autovibe checkpoint ls), and check the disk.' })

export function errnoOf(thrown: unknown): string | null {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : null
}

const isAbort = (thrown: unknown): boolean => thrown instanceof Error && thrown.name === 'AbortError'

const DAMAGE = new Set(['Z_BUF_ERROR', 'Z_DATA_ERROR', 'ERR_BUFFER_TOO_LARGE'])

/** What zstd says of bytes that are no frame, end early or are too long. */
export function isDamage(error: unknown): boolean {
  const code = errnoOf(error)
  return code !== null && (code.startsWith('ZSTD_') || DAMAGE.has(code))
}
