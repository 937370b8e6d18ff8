/** How git writes names, modes and blob ids in a patch, and which paths it will not apply one to. */
import { createHash } from 'node:crypto'
import type { ManifestEntry } from '@autovibe/contract'
import { decodePath } from '@autovibe/core/checkpoints/paths.ts'

export const NO_BLOB = '0'.repeat(40)

const NAMED_ESCAPES: Record<number, string> = { 7: '\\a', 8: '\\b', 9: '\\t', 10: '\\n', 11: '\\v', 12: '\\f', 13: '\\r', 34: '\\"', 92: '\\\\' }

/** The path, behind `a/` or `b/` where git wants that: quoted when a byte needs it, as git does with core.quotePath on. */
export function gitName(prefix: 'a/' | 'b/' | '', path: string): string {
  const bytes = decodePath(path)
  let quoted = ''
  let plain = true
  for (const byte of bytes) {
    const named = NAMED_ESCAPES[byte]
    const escaped = named ?? (byte < 0x20 || byte >= 0x7f ? `\\${byte.toString(8).padStart(3, '0')}` : null)
    if (escaped !== null) plain = false
    quoted += escaped ?? String.fromCharCode(byte)
  }
  return plain ? prefix + quoted : `"${prefix}${quoted}"`
}

/** A name for a `---` or `+++` line: git ends one that has a space with a tab, so that the name's end is known. */
export function gitFileLine(marker: '---' | '+++', name: string): string {
  return `${marker} ${name}${!name.startsWith('"') && name.includes(' ') ? '\t' : ''}\n`
}

/** git knows two kinds of files, executable by their owner or not, and links. */
export function gitMode(entry: ManifestEntry): '100644' | '100755' | '120000' {
  if (entry.type === 'symlink') return '120000'
  return (entry.mode & 0o100) === 0 ? '100644' : '100755'
}

export function blobId(content: Uint8Array): string {
  return createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex')
}

/** A path that git refuses in any patch, because some file system would take it for `.git`; one of them would spoil a whole patch (git, path.c: verify_path). */
export function isRefusedByGit(path: string, type: ManifestEntry['type']): boolean {
  return path.split('/').some((name) => {
    const seen = name.replace(HFS_IGNORED, '').toLowerCase()
    const stem = /^[^\\:]*/.exec(seen)?.[0].replace(/[. ]+$/, '')
    if (seen === '.git' || stem === '.git' || stem === 'git~1') return true
    return type === 'symlink' && /^(?:\.gitmodules|gitmod~[1-4]|gi7eb.*~\d)$/.test(stem ?? '')
  })
}

/** Characters that HFS+ leaves out when it compares names. */
const HFS_IGNORED = /[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/g
