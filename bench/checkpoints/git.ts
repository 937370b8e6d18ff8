/** git's plumbing, with the repository and its objects outside the tree and no packing: an index, a tree and a commit for each state. */
import { join } from 'node:path'
import { timed } from '../support/command.ts'
import { debianProgram } from '../support/debian.ts'
import { timedWithPeak } from '../support/peak.ts'
import { COMMAND_TIMEOUT_MS, type Contender, type Place, type Taken } from './contender.ts'

const WHO = ['AUTHOR', 'COMMITTER'].flatMap((who) => [[`GIT_${who}_NAME`, 'bench'] as const, [`GIT_${who}_EMAIL`, 'bench@invalid'] as const])

export async function openGit({ tree, folder }: Place): Promise<Contender & { readonly version: string }> {
  const program = await debianProgram('git')
  const storeFolder = join(folder, 'objects')
  const env = {
    ...process.env,
    GIT_DIR: join(folder, 'git'),
    GIT_WORK_TREE: tree,
    GIT_OBJECT_DIRECTORY: storeFolder,
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CONFIG_SYSTEM: '/dev/null',
    ...Object.fromEntries(WHO),
  }
  const options = { cwd: tree, env, timeoutMs: COMMAND_TIMEOUT_MS }
  /** The commands together, one after the other. */
  const git = async (commands: readonly (readonly string[])[], more: NodeJS.ProcessEnv = {}): Promise<Taken & { readonly stdout: string }> => {
    const all = []
    for (const args of commands) all.push(await timedWithPeak(program, args, { ...options, env: { ...env, ...more } }))
    return {
      ms: all.reduce((sum, { ms }) => sum + ms, 0),
      peakMiB: Math.max(...all.map(({ peakMiB }) => peakMiB)),
      stdout: all.at(-1)?.stdout.trim() ?? '',
    }
  }
  await timed(program, ['init', '--quiet'], options)
  const { stdout } = await timed(program, ['version'], options)
  let last: string | null = null
  let restores = 0
  return {
    name: 'git',
    version: stdout.trim(),
    storeFolder,
    begin: () => Promise.resolve(),
    async capture() {
      const kept = await git([['add', '--all'], ['write-tree']])
      const made = await git([['commit-tree', ...(last === null ? [] : ['-p', last]), '-m', 'bench', kept.stdout]])
      last = made.stdout
      const named = await git([['update-ref', 'refs/heads/bench', last]])
      return { ms: kept.ms + made.ms + named.ms, peakMiB: Math.max(kept.peakMiB, made.peakMiB) }
    },
    restore: (to) =>
      git(
        [
          ['read-tree', last ?? ''],
          ['checkout-index', '--all', `--prefix=${to}/`],
        ],
        { GIT_INDEX_FILE: join(folder, `restore-${++restores}`) },
      ),
    verify: () => git([['fsck', '--full', '--no-progress']]),
  }
}
