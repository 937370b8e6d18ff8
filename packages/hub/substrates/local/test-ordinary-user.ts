/** Runs test files as an ordinary user of this host who owns nothing and may enter nothing of root's. */
import { spawnSync } from 'node:child_process'
import { chmodSync, constants, copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** An id that belongs to nobody on usual hosts (below the range of nobody and of container users). */
const ORDINARY_ID = '61234'

export class OrdinaryUser {
  readonly #room: string

  /** With a Node of its own: this one may lie in root's home. */
  constructor() {
    this.#room = mkdtempSync('/tmp/avtest-node-')
    chmodSync(this.#room, 0o755)
    copyFileSync(process.execPath, join(this.#room, 'node'), constants.COPYFILE_FICLONE)
    chmodSync(join(this.#room, 'node'), 0o755)
  }

  node(...args: string[]) {
    return spawnSync('setpriv', ['--reuid', ORDINARY_ID, '--regid', ORDINARY_ID, '--clear-groups', '--no-new-privs', join(this.#room, 'node'), ...args], {
      env: { PATH: process.env['PATH'], HOME: '/nonexistent', TMPDIR: '/tmp' },
      encoding: 'utf8',
      maxBuffer: 1 << 24,
    })
  }

  /** Why this user cannot run the checkout's tests; null when they can. Throws for any other failure. */
  unreadable(): string | null {
    const reach = this.node('--input-type=module', '--eval', `await import(${JSON.stringify(new URL('test-ground.ts', import.meta.url).href)})`)
    if (/EACCES|permission denied/.test(reach.stderr)) return `an ordinary user cannot read this checkout: ${reach.stderr}`
    if (reach.status !== 0) throw new Error(reach.stderr)
    return null
  }

  leave(): void {
    rmSync(this.#room, { recursive: true })
  }
}

/** How many tests of a spec report passed. */
export const passedOf = (report: string): number => Number(/^ℹ pass (\d+)$/m.exec(report)?.[1] ?? 0)
