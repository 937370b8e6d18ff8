/** How the agent's command is started: in its group, with the tree where every machine has it, and with no rights but its user's. */
import { dirname, join } from 'node:path'
import { AGENT_ENV } from '@autovibe/contract'
import type { Owner } from '../trees/copy-file.ts'

export interface AgentCommand {
  readonly argv: readonly [string, ...string[]]
  readonly env: Readonly<Record<string, string>>
}

export interface AgentPlace {
  readonly command: readonly string[]
  readonly tree: string
  /** Where the agent finds its tree; null: where it lies. */
  readonly treeAt: string | null
  readonly socket: string
  readonly tokenFile: string
  readonly agentsDir: string
  readonly owner: Owner | null
  /** Joined by whoever writes to it; null where there is none. */
  readonly groupDoor: string | null
  /** `NAME=value` in the environment, by which its processes are found again. */
  readonly mark: string
  /** No single file may be larger. */
  readonly fileBytes: number
}

const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** When memory runs out, the agent goes before its guest. The same path in every machine, because agents file their conversations by it; seen by the agent's processes alone. */
const JOIN_AND_MOUNT = `
group=$1 tree=$2 at=$3 file_blocks=$4; shift 4
echo 200 2>/dev/null >/proc/self/oom_score_adj
if [ -n "$group" ]; then echo 0 >"$group" || exit 125; fi
if [ -n "$at" ]; then mkdir -p "$at" && mount --bind "$tree" "$at" || exit 125; fi
ulimit -c 0
ulimit -f "$file_blocks" 2>/dev/null || :
exec "$@"`

/** The unit of `ulimit -f` (POSIX). */
const FILE_BLOCK_BYTES = 512

export function agentCommand(place: AgentPlace): AgentCommand {
  const { command, owner, treeAt, groupDoor } = place
  const tree = treeAt ?? place.tree
  const asUser =
    owner === null
      ? []
      : [
          'setpriv',
          '--reuid',
          String(owner.uid),
          '--regid',
          String(owner.gid),
          '--clear-groups',
          '--no-new-privs',
          '--inh-caps=-all',
          '--bounding-set=-all',
          '--',
        ]
  const inside = [
    '/bin/sh',
    '-c',
    JOIN_AND_MOUNT,
    'sh',
    groupDoor ?? '',
    place.tree,
    treeAt ?? '',
    String(Math.ceil(place.fileBytes / FILE_BLOCK_BYTES)),
    ...asUser,
    ...command,
  ] as const
  const [mark = '', markValue = ''] = place.mark.split('=')
  return {
    argv: treeAt === null ? ['/bin/sh', ...inside.slice(1)] : ['unshare', '--mount', ...inside],
    env: {
      PATH: `${dirname(process.execPath)}:${SYSTEM_PATH}`,
      HOME: join(tree, 'home'),
      USER: 'agent',
      LOGNAME: 'agent',
      SHELL: '/bin/sh',
      LANG: 'C.UTF-8',
      TERM: 'dumb',
      [AGENT_ENV.tree]: tree,
      [AGENT_ENV.socket]: place.socket,
      [AGENT_ENV.token]: place.tokenFile,
      [AGENT_ENV.agents]: place.agentsDir,
      [mark]: markValue,
    },
  }
}
