/** Claude Code writes its session to a file a moment after it says the same on its output: this tells whether a tool's result has got there. */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { log } from '../../log.ts'

/** A result is among the last lines; one that is larger than this is taken for written. */
const TAIL_BYTES = 4 * 1024 * 1024
const NOWHERE = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'ENXIO'])

/** Where this release keeps the session of a project, beneath its home; null for what is no id. */
export function sessionFile(home: string, project: string, sessionId: string): string | null {
  if (!/^[0-9A-Za-z-]{1,200}$/.test(sessionId)) return null
  return join(home, '.claude', 'projects', project.replace(/[^a-zA-Z0-9]/g, '-'), `${sessionId}.jsonl`)
}

/** Whether the file tells the result of this tool call; null when it cannot be told, because it lies elsewhere or is no file. */
export async function hasResult(file: string | null, toolUseId: string): Promise<boolean | null> {
  if (file === null) return null
  try {
    // It lies in the agent's reach: a pipe would never answer, and a link could lead anywhere.
    await using handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    const stats = await handle.stat()
    if (!stats.isFile()) return null
    const bytes = Buffer.alloc(Math.min(stats.size, TAIL_BYTES))
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, stats.size - bytes.length)
    const isWritten = bytes.subarray(0, bytesRead).includes(`"tool_use_id":${JSON.stringify(toolUseId)}`)
    return isWritten || stats.size <= TAIL_BYTES ? isWritten : null
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    if (!NOWHERE.has(code)) log('the session of Claude Code could not be read', { reason: code })
    return null
  }
}
