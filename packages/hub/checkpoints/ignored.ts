/** Which new files a project's own .gitignore files name: packages installed in a machine are not part of the change to be reviewed. */
import { dirname } from 'node:path/posix'
import { text } from 'node:stream/consumers'
import type { ManifestEntry } from '@autovibe/contract'
import ignore, { type Ignore } from 'ignore'
import type { ProjectStore } from './store.ts'

/** A larger one is nobody's list of patterns; more of them than this are not read either. */
const RULES_BYTES_MAX = 64 * 1024
const RULE_FILES_MAX = 1000
/** So many folders are looked at one by one; for more, the whole tree is walked once, in which the first of its files count. */
const LOOKS_MAX = 200

/**
 * Answers for paths relative to `within` (with its closing slash), by the rules as they were in this tree. Take the tree before the change: an agent that writes a
 * .gitignore must not be able to hide its work with it. Nothing is read before it is asked.
 */
export function ignoredBy(store: ProjectStore, manifestSha256: string, within: string): (path: string) => Promise<boolean> {
  const looked = new Map<string, Promise<Ignore | null>>()
  let walked: Promise<ReadonlyMap<string, Ignore>> | null = null

  async function rulesIn(folder: string): Promise<Ignore | null> {
    if (walked === null && !looked.has(folder) && looked.size >= LOOKS_MAX) walked = walk(store, manifestSha256, within)
    if (walked !== null) return (await walked).get(folder) ?? null
    const known = looked.get(folder) ?? look(store, manifestSha256, `${within}${folder === '.' ? '' : `${folder}/`}.gitignore`)
    looked.set(folder, known)
    return known
  }

  return async (path) => {
    // The nearest folder that has an opinion decides, as in git (gitignore(5)).
    for (let folder = dirname(path); ; folder = dirname(folder)) {
      const verdict = (await rulesIn(folder))?.test(folder === '.' ? path : path.slice(folder.length + 1))
      if (verdict?.ignored) return true
      if (verdict?.unignored || folder === '.') return false
    }
  }
}

async function look(store: ProjectStore, manifestSha256: string, path: string): Promise<Ignore | null> {
  const entry = await store.entry(manifestSha256, path)
  return entry === null ? null : read(store, entry)
}

async function walk(store: ProjectStore, manifestSha256: string, within: string): Promise<ReadonlyMap<string, Ignore>> {
  const rules = new Map<string, Ignore>()
  for await (const entry of store.entries(manifestSha256, within.slice(0, -1))) {
    if (!/(^|\/)\.gitignore$/.test(entry.path)) continue
    if (rules.size >= RULE_FILES_MAX) break
    const found = await read(store, entry)
    if (found !== null) rules.set(dirname(entry.path.slice(within.length)), found)
  }
  return rules
}

async function read(store: ProjectStore, { type, size, sha256 }: ManifestEntry): Promise<Ignore | null> {
  if (type !== 'file' || sha256 === null || size > RULES_BYTES_MAX) return null
  return ignore({ allowRelativePaths: true }).add(await text(await store.open(sha256)))
}
