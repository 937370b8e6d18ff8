/** Which new files a project's own .gitignore files name: packages installed in a machine are not part of the change to be reviewed. */
import { dirname } from 'node:path/posix'
import { buffer } from 'node:stream/consumers'
import { setImmediate as breath } from 'node:timers/promises'
import type { ManifestEntry } from '@autovibe/contract'
import { judge, type Rule, readRules } from '@autovibe/core/checkpoints/ignored/rules.ts'
import { decodePath } from '@autovibe/core/checkpoints/paths.ts'
import type { ProjectStore } from './store.ts'

/** A larger one is nobody's list of patterns; more of them than this are not read either. */
const RULES_BYTES_MAX = 64 * 1024
const RULE_FILES_MAX = 1000
const RULES_BYTES_MAX_IN_ALL = 512 * 1024
/** So many folders are looked at one by one; for more, the whole tree is walked once, in which the first of its files count. */
const LOOKS_MAX = 200
/** For one file or folder, at most some 5 ms: what cannot be told with it is shown. Thousands of ordinary rules take a tenth of it. */
const STEPS_MAX = 100_000
/** What it takes to ask the rules of one folder, in the same steps. */
const FOLDER_STEPS = 10
/** After so many steps, everything else in the Hub goes on. */
const STEPS_AT_ONCE = 200_000
/** Folders whose verdict is kept; more than are nested in any path. */
const FOLDERS_MAX = 5000

/** What is known of a folder once everything above it has been asked. */
interface Folder {
  readonly isIgnored: boolean
  readonly rules: readonly Rule[]
  /** How much of a path in it leads to it, in bytes. */
  readonly pathBytes: number
  readonly above: Folder | null
}

/**
 * Answers for paths of files relative to `within` (with its closing slash), by the rules as they were in this tree. Take the tree before the change: an agent that writes a
 * .gitignore must not be able to hide its work with it. Nothing is read before it is asked.
 */
export function ignoredBy(store: ProjectStore, manifestSha256: string, within: string): (path: string) => Promise<boolean> {
  const rulesIn = readerOf(store, manifestSha256, within)
  const known = new Map<string, Folder>()
  let steps = 0

  /** As in git, the nearest folder that has an opinion decides, but nothing takes back what lies in a folder that is ignored. */
  async function isNamed(path: string, isFolder: boolean, parent: Folder): Promise<boolean> {
    if (parent.isIgnored) return true
    const text = bytesOf(path)
    const effort = { left: STEPS_MAX }
    let verdict: ReturnType<typeof judge> = null
    for (let folder: Folder | null = parent; folder !== null && verdict === null && effort.left >= 0; folder = folder.above) {
      effort.left -= FOLDER_STEPS
      if (folder.rules.length > 0) verdict = judge(folder.rules, text.slice(folder.pathBytes), isFolder, effort)
    }
    steps += STEPS_MAX - effort.left
    if (steps > STEPS_AT_ONCE) {
      steps = 0
      await breath()
    }
    return verdict === 'ignored'
  }

  async function enter(path: string, above: Folder | null): Promise<Folder> {
    const isIgnored = above !== null && (await isNamed(path, true, above))
    const folder = { isIgnored, rules: isIgnored ? [] : await rulesIn(path), pathBytes: above === null ? 0 : bytesOf(path).length + 1, above }
    if (known.size >= FOLDERS_MAX) known.clear()
    known.set(path, folder)
    return folder
  }

  return async (path) => {
    const unknown: string[] = []
    let at = dirname(path)
    for (; at !== '.' && !known.has(at); at = dirname(at)) unknown.push(at)
    let folder = known.get(at) ?? (await enter('.', null))
    for (const path of unknown.reverse()) folder = await enter(path, folder)
    return isNamed(path, false, folder)
  }
}

/** As git sees it: names in a tree need not be UTF-8, and a rule may be about some bytes of a character. */
const bytesOf = (path: string): string => Buffer.from(decodePath(path)).toString('latin1')

/** The rules in each folder of the tree; none where there is no file of them. */
function readerOf(store: ProjectStore, manifestSha256: string, within: string): (folder: string) => Promise<readonly Rule[]> {
  const looked = new Map<string, Promise<readonly Rule[]>>()
  let walked: Promise<ReadonlyMap<string, readonly Rule[]>> | null = null
  let bytesLeft = RULES_BYTES_MAX_IN_ALL

  async function look(path: string): Promise<readonly Rule[]> {
    const entry = await store.entry(manifestSha256, path)
    return entry === null ? [] : read(entry)
  }

  async function walk(): Promise<ReadonlyMap<string, readonly Rule[]>> {
    const rules = new Map<string, readonly Rule[]>()
    bytesLeft = RULES_BYTES_MAX_IN_ALL
    for await (const entry of store.entries(manifestSha256, within.slice(0, -1))) {
      if (!/(^|\/)\.gitignore$/.test(entry.path)) continue
      if (rules.size >= RULE_FILES_MAX) break
      rules.set(dirname(entry.path.slice(within.length)), await read(entry))
    }
    return rules
  }

  async function read({ type, size, sha256 }: ManifestEntry): Promise<readonly Rule[]> {
    if (type !== 'file' || sha256 === null || size > RULES_BYTES_MAX || size > bytesLeft) return []
    bytesLeft -= size
    return readRules((await buffer(await store.open(sha256))).toString('latin1'))
  }

  return async (folder) => {
    if (walked === null && !looked.has(folder) && looked.size >= LOOKS_MAX) walked = walk()
    if (walked !== null) return (await walked).get(folder) ?? []
    const rules = looked.get(folder) ?? look(`${within}${folder === '.' ? '' : `${folder}/`}.gitignore`)
    looked.set(folder, rules)
    return rules
  }
}
