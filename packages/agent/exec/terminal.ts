/** A terminal inside the machine, made by `script` of util-linux, because Node itself cannot open one; resized by `stty` on the device of whoever runs in it. */
import { spawn } from 'node:child_process'
import { accessSync, constants, readFileSync, readlinkSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { TerminalSize } from '@autovibe/contract'
import { log } from '../log.ts'
import { childOf, send } from '../process/family.ts'

const STTY_MS = 5_000
const STOPPED_LOOK_EVERY_MS = 250

/** The command line that runs `words` in a terminal of this size; undefined when this machine cannot make one. */
export function terminalCommand(
  words: readonly string[],
  size: TerminalSize | null,
  env: Readonly<Record<string, string>>,
): { program: string; args: string[]; env: Record<string, string> } | undefined {
  const path = env['PATH'] ?? ''
  const [script, stty] = [findProgram('script', path), findProgram('stty', path)]
  if (script === undefined || stty === undefined) return undefined
  const { rows, cols } = size ?? { rows: 24, cols: 80 }
  // Without a terminal of its own, script switches the echo off. What people type before the command reads it shall be seen.
  const prepare = `${quote(stty)} echo rows ${rows} cols ${cols} 2>/dev/null`
  // script runs its command line by $SHELL, whatever that is; the command itself sees the one that was asked for.
  const shell = env['SHELL'] === undefined ? 'unset SHELL' : `export SHELL=${quote(env['SHELL'])}`
  return {
    program: script,
    args: ['-q', '-e', '-c', `${prepare}; ${shell}; exec ${words.map(quote).join(' ')}`, '/dev/null'],
    env: { ...env, SHELL: '/bin/sh' },
  }
}

/** The first executable of this name on a search path. */
export function findProgram(name: string, path: string): string | undefined {
  return path
    .split(delimiter)
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

/** One word for a POSIX shell. */
const quote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`

/** The process group that has the terminal, which is the one that Ctrl-C is meant for. */
export function foregroundGroup(scriptPid: number): number | undefined {
  const inside = childOf(scriptPid)
  const text = inside === undefined ? undefined : read(`/proc/${inside}/stat`)
  // The name in parentheses may hold anything; behind it: state, parent, group, session, terminal, its foreground group.
  const group = Number(text?.slice(text.lastIndexOf(')') + 2).split(' ')[5])
  return Number.isInteger(group) && group > 1 ? group : undefined
}

/**
 * Keeps a terminal going until the returned function is called: script stops itself when what runs in it was stopped, as all of a machine is for the moments of a
 * checkpoint, and then waits for somebody to continue it.
 */
export function keepGoing(scriptPid: number): () => void {
  const timer = setInterval(() => {
    if (!isStopped(scriptPid)) return
    const inside = childOf(scriptPid)
    // Whoever has stopped the command itself, a person perhaps, continues it too.
    if (inside === undefined || !isStopped(inside)) send(scriptPid, 'SIGCONT')
  }, STOPPED_LOOK_EVERY_MS)
  return () => clearInterval(timer)
}

const isStopped = (pid: number): boolean => {
  const text = read(`/proc/${pid}/stat`) ?? ''
  return text.slice(text.lastIndexOf(')') + 2).startsWith('T')
}

/** Changes the size of one terminal, the newest wish last and one change at a time. */
export class Resizer {
  readonly #scriptPid: number
  readonly #path: string
  #wanted: TerminalSize | undefined
  #working: Promise<void> | undefined

  constructor(scriptPid: number, path: string) {
    this.#scriptPid = scriptPid
    this.#path = path
  }

  resize(size: TerminalSize): void {
    this.#wanted = size
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined
    })
  }

  async #work(): Promise<void> {
    for (let size = this.#wanted; size !== undefined; size = this.#wanted) {
      this.#wanted = undefined
      await this.#apply(size)
    }
  }

  async #apply({ rows, cols }: TerminalSize): Promise<void> {
    const inside = childOf(this.#scriptPid)
    const device = inside === undefined ? undefined : deviceOf(inside)
    const stty = findProgram('stty', this.#path)
    if (device === undefined || stty === undefined) return
    const helper = spawn(stty, ['-F', device, 'rows', String(rows), 'cols', String(cols)], { stdio: 'ignore', timeout: STTY_MS, env: { PATH: this.#path } })
    await new Promise<void>((resolve) => {
      helper.once('exit', () => resolve())
      helper.once('error', (error) => {
        log('a terminal was not resized', { reason: error.message })
        resolve()
      })
    })
  }
}

/** The terminal that a process has open, by the first of its three standard files that is one. */
function deviceOf(pid: number): string | undefined {
  for (const fd of [0, 1, 2]) {
    try {
      const path = readlinkSync(`/proc/${pid}/fd/${fd}`)
      if (/^\/dev\/pts\/[0-9]+$/.test(path)) return path
    } catch {
      // It has ended, or closed this one.
    }
  }
  return undefined
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    // It has ended in the meantime.
    return undefined
  }
}
