/** What the guest is told by its command line; without a word it does what a VM of a template needs. */
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { MACHINE_PATHS } from '@autovibe/contract'
import type { Owner } from './trees/copy-file.ts'

export interface Settings {
  /** On the disk that is cloned with the machine. */
  readonly stateFolder: string
  /** Empty at each boot. */
  readonly runFolder: string
  readonly invitationFile: string
  readonly agentCommand: readonly string[]
  readonly agentsFolder: string
  /** Null: the agent runs as this process's own user. */
  readonly owner: Owner | null
  /** Null: the agent finds its tree where it lies. */
  readonly treeAt: string | null
  /** Null: the system keeps its keys. */
  readonly rekeyRoot: string | null
  readonly onlyCopies: boolean
  /** Only becomes whom the invitation names, before anything of the system shows who it was. */
  readonly onlyRekey: boolean
}

const NONE = 'none'
const AGENT_USER = '1000:1000'

export function settingsFrom(args: readonly string[]): Settings {
  const { values } = parseArgs({
    args: [...args],
    options: {
      state: { type: 'string', default: '/var/lib/autovibe' },
      run: { type: 'string', default: MACHINE_PATHS.socketDir },
      invitation: { type: 'string', default: '/sys/class/dmi/id/product_serial' },
      'agent-command': { type: 'string' },
      agents: { type: 'string', default: '/opt/autovibe/agents' },
      user: { type: 'string', default: AGENT_USER },
      'tree-at': { type: 'string', default: MACHINE_PATHS.tree },
      'rekey-root': { type: 'string', default: '/' },
      'only-copies': { type: 'boolean', default: false },
      'only-rekey': { type: 'boolean', default: false },
    },
  })
  const command = values['agent-command']
  return {
    stateFolder: values.state,
    runFolder: values.run,
    invitationFile: values.invitation,
    agentCommand: command === undefined ? [process.execPath, join(dirname(import.meta.dirname), 'agent/main.ts')] : wordsOf(command),
    agentsFolder: values.agents,
    owner: values.user === NONE ? null : ownerOf(values.user),
    treeAt: values['tree-at'] === NONE ? null : values['tree-at'],
    rekeyRoot: values['rekey-root'] === NONE ? null : values['rekey-root'],
    onlyCopies: values['only-copies'],
    onlyRekey: values['only-rekey'],
  }
}

/** A list of words in JSON. */
function wordsOf(text: string): string[] {
  const words: unknown = JSON.parse(text)
  if (!Array.isArray(words) || words.length === 0 || !words.every((word) => typeof word === 'string'))
    throw new TypeError('--agent-command must be a list of words in JSON, such as ["/usr/bin/node","main.ts"]')
  return words
}

/** Never root: everything that runs as the agent's user is ended with the agent. */
function ownerOf(text: string): Owner {
  const [, uid, gid] = /^([1-9]\d{0,9}):([1-9]\d{0,9})$/.exec(text) ?? []
  if (uid === undefined || gid === undefined) throw new TypeError('--user must be UID:GID of a user other than root, or none')
  return { uid: Number(uid), gid: Number(gid) }
}
