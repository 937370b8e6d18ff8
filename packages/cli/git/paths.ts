/** Which paths and links from a machine may be written into a checkout: a hostile agent chose every one of them. */

/** The bytes that a manifest path stands for (`\xNN` is a byte that is not UTF-8, `\\` a backslash); undefined when it is written wrongly. */
export function decodeManifestPath(text: string): Buffer | undefined {
  if (!text.includes('\\')) return Buffer.from(text)
  const parts: Buffer[] = []
  for (const piece of text.match(/\\x[0-9a-fA-F]{2}|\\\\|[^\\]+|\\/gs) ?? []) {
    if (piece === '\\') return undefined
    if (piece === '\\\\') parts.push(Buffer.from('\\'))
    else if (piece.startsWith('\\x')) parts.push(Buffer.from(piece.slice(2), 'hex'))
    else parts.push(Buffer.from(piece))
  }
  return Buffer.concat(parts)
}

/** Why these bytes may not become a path of the checkout; undefined when they may. */
export function pathDanger(path: Buffer): string | undefined {
  if (path.length === 0) return 'it is empty'
  if (path.length > 4096) return 'it is too long'
  if (path.includes(0)) return 'it holds a NUL byte'
  if (path[0] === 0x2f) return 'it is absolute'
  for (const part of path.toString('utf8').split('/')) {
    if (part === '') return 'it holds an empty name'
    if (part === '.' || part === '..') return `it holds "${part}"`
    if (Buffer.byteLength(part) > 255 * 3) return 'it holds a name that is too long'
    if (isGitFolder(part)) return 'it reaches into .git'
  }
  return undefined
}

/**
 * Why a link with this target, at this path, may not be written; undefined when it stays inside. Dots that lead upwards may only stand in front: behind a name they
 * would be taken from wherever that name's own link leads.
 */
export function linkDanger(path: Buffer, target: Buffer): string | undefined {
  if (target.length === 0 || target.includes(0)) return 'its target is not a path'
  if (target[0] === 0x2f) return 'it points outside the project (an absolute path)'
  const depth = path.toString('latin1').split('/').length - 1
  let up = 0
  let named = false
  for (const part of target.toString('utf8').split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') {
      if (isGitFolder(part)) return 'it points into .git'
      named = true
    } else if (named) return 'its target leads upwards behind a name'
    else up += 1
  }
  return up > depth ? 'it points outside the project' : undefined
}

/** Characters that HFS+ leaves out when it compares names (as git's own core.protectHFS knows them). */
const HFS_IGNORED = /[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/gu

/** `.git` in every spelling that some file system takes for it: other case, ignored characters, trailing dots and blanks, streams, the short name. */
function isGitFolder(part: string): boolean {
  const folded = part.replace(HFS_IGNORED, '').toLowerCase()
  // NTFS also splits at a backslash.
  return folded.split('\\').some((name) => /^(\.git|git~[0-9]+)[ .]*(:.*)?$/s.test(name))
}
