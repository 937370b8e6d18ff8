/** Turns a path that a model gave into one inside the project, links followed, or refuses it. */
import { readlink, realpath } from 'node:fs/promises'
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { ToolError } from './tool.ts'

/** As many links as Linux follows before it says ELOOP. */
const LINKS_MAX = 40

/** The real path of a file that may not exist yet. Throws ToolError when it lies, or leads, outside the project. */
export async function confine(project: string, path: string): Promise<string> {
  if (path.includes('\u0000')) throw new ToolError('The path holds a NUL character.')
  const root = await realpath(project)
  // An absolute path is taken as it is, whichever name of the project folder it uses.
  const asked = isAbsolute(path) ? resolve(path) : resolve(root, path)
  const real = await realpathOfNew(isInside(project, asked) ? join(root, relative(project, asked)) : asked)
  if (!isInside(root, real)) throw new ToolError(`${path} is outside the project; this tool works only inside it.`)
  return real
}

/** The real path of the deepest part that exists, with the rest behind it; a link to nowhere is followed too, because writing would follow it. */
async function realpathOfNew(path: string): Promise<string> {
  let current = path
  let rest = ''
  for (let links = 0; links < LINKS_MAX; ) {
    try {
      return join(await realpath(current), rest)
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw new ToolError(`${path}: ${error instanceof Error ? error.message : String(error)}`)
    }
    const target = await linkTarget(current)
    if (target === undefined) {
      rest = join(current.slice(dirname(current).length).replace(/^\/+/, ''), rest)
      current = dirname(current)
    } else {
      current = resolve(dirname(current), target)
      links++
    }
  }
  throw new ToolError(`${path}: too many links.`)
}

async function linkTarget(path: string): Promise<string | undefined> {
  try {
    return await readlink(path)
  } catch {
    // Not a link, or not there.
    return undefined
  }
}

function isInside(root: string, path: string): boolean {
  const way = relative(root, path)
  return way === '' || (way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way))
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
