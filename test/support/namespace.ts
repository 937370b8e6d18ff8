/** Another view of the host for commands: a mount namespace in which something is hidden or small, gone with its last process. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'

export interface MountNamespace {
  /** Put before a command, it runs inside. */
  readonly through: readonly string[]
  /** Runs a shell command inside; throws when it fails. */
  shell(command: string, ...args: string[]): void
  leave(): Promise<void>
}

/** Why this process may not make one; false when it may. */
export function namespaceRefused(): string | false {
  const { status, stderr, error } = spawnSync('unshare', ['-m', '--propagation', 'private', 'sh', '-c', 'mount --bind /dev/null /dev/null'], {
    encoding: 'utf8',
  })
  return status === 0 ? false : `this process may not mount: ${error?.message ?? stderr.trim()}`
}

/** A namespace in which the shell command `setup` has been run with these arguments. */
export async function makeNamespace(setup: string, ...args: string[]): Promise<MountNamespace> {
  const keeper = spawn('unshare', ['-m', '--propagation', 'private', 'sh', '-c', `{ ${setup}; } >&2 && echo ready && exec cat`, 'sh', ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const ended = once(keeper, 'exit')
  const [word] = (await Promise.race([once(keeper.stdout, 'data'), ended])) as [Buffer | number | null]
  if (String(word) !== 'ready\n') throw new Error(`The namespace could not be made (${word}): ${setup}`)
  const through = ['nsenter', '-m', '-t', String(keeper.pid), '--']
  return {
    through,
    shell(command, ...more) {
      const [enter = '', ...rest] = [...through, 'sh', '-c', command, 'sh', ...more]
      const { status, stderr } = spawnSync(enter, rest, { encoding: 'utf8' })
      if (status !== 0) throw new Error(`${command}: ${stderr}`)
    },
    async leave() {
      keeper.stdin.end()
      await ended
    },
  }
}
