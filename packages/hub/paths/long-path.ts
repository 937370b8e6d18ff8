/**
 * Reaches what lies at a path that is longer than one system call takes. A tree may have paths up to that limit, and stands beneath a folder of this host: by way of a folder that
 * is open, whose name in /proc is short. Where there is no such /proc, the kernel refuses as it always did.
 */
import { close, closeSync, constants, open, openSync, read, write, writev } from 'node:fs'
import { type FileHandle, open as openHandle } from 'node:fs/promises'
import { promisify } from 'node:util'

/** PATH_MAX of Linux without its NUL. */
const CALL_BYTES_MAX = 4095
/** open(2): only to go on from there, which takes no right to read the folder. The same number on all architectures that the Hub runs on. */
const O_PATH = 0o10000000
const FOLDER_FLAGS = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW
const SLASH = 0x2f

/** Gives `work` a path by which one system call reaches the same. */
export async function reach<T>(path: Buffer, work: (path: Buffer) => Promise<T>): Promise<T> {
  let within = path
  let held: FileHandle | null = null
  try {
    for (let hop = hopOf(within); hop !== null; hop = hopOf(within)) {
      const next = await openHandle(hop.folder, FOLDER_FLAGS)
      await held?.close()
      held = next
      within = beneath(held.fd, hop.rest)
    }
    return await work(within)
  } finally {
    await held?.close()
  }
}

/** The same for a thread that has nothing else to do. */
export function reachSync<T>(path: Buffer, work: (path: Buffer) => T): T {
  let within = path
  let held: number | null = null
  try {
    for (let hop = hopOf(within); hop !== null; hop = hopOf(within)) {
      const next = openSync(hop.folder, FOLDER_FLAGS)
      if (held !== null) closeSync(held)
      held = next
      within = beneath(held, hop.rest)
    }
    return work(within)
  } finally {
    if (held !== null) closeSync(held)
  }
}

const openFile = promisify(open)

/** What streams of files open by, whatever the length of their paths: an option of createReadStream and createWriteStream. */
export const anyLength = {
  open(path: string | Buffer, flags: string | number, mode: number, callback: (error: Error | null, fd: number) => void): void {
    reach(Buffer.from(path as Buffer), (near) => openFile(near, flags, mode)).then(
      (fd) => callback(null, fd),
      (error: Error) => callback(error, -1),
    )
  },
  read,
  write,
  writev,
  close,
}

/** The longest part that one call takes, and what lies beneath it; null when it takes all, or when there is nowhere to part it. */
function hopOf(path: Buffer): { readonly folder: Buffer; readonly rest: Buffer } | null {
  if (path.length <= CALL_BYTES_MAX) return null
  const at = path.lastIndexOf(SLASH, CALL_BYTES_MAX)
  return at <= 0 ? null : { folder: path.subarray(0, at), rest: path.subarray(at + 1) }
}

const beneath = (fd: number, rest: Buffer): Buffer => Buffer.concat([Buffer.from(`/proc/self/fd/${fd}/`), rest])
