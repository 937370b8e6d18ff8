/** Which new files a project's own .gitignore files name: packages installed in a machine are not part of the change to be reviewed. */
import { dirname } from 'node:path/posix'
import { text } from 'node:stream/consumers'
import ignore, { type Ignore } from 'ignore'
import type { ProjectStore } from './store.ts'

/** A larger one is nobody's list of patterns; more of them than this are not read either. */
const RULES_BYTES_MAX = 64 * 1024
const RULE_FILES_MAX = 1000

/**
 * Answers for paths relative to `within` (with its closing slash), by the rules as they were in this tree. Take the tree before the change: an agent that writes a
 * .gitignore must not be able to hide its work with it.
 */
export async function ignoredBy(store: ProjectStore, manifestSha256: string, within: string): Promise<(path: string) => boolean> {
  const rules = new Map<string, Ignore>()
  for await (const { path, type, size, sha256 } of store.entries(manifestSha256, within.slice(0, -1))) {
    if (type !== 'file' || sha256 === null || size > RULES_BYTES_MAX || !/(^|\/)\.gitignore$/.test(path)) continue
    if (rules.size >= RULE_FILES_MAX) break
    rules.set(dirname(path.slice(within.length)), ignore({ allowRelativePaths: true }).add(await text(await store.open(sha256))))
  }
  return (path) => {
    // The nearest folder that has an opinion decides, as in git (gitignore(5)).
    for (let folder = dirname(path); ; folder = dirname(folder)) {
      const verdict = rules.get(folder)?.test(folder === '.' ? path : path.slice(folder.length + 1))
      if (verdict?.ignored) return true
      if (verdict?.unignored || folder === '.') return false
    }
  }
}
