/** All processes that a command started, also those that left its process group or its parent: found, stopped, continued or ended. */
import { readdirSync, readFileSync } from 'node:fs'
import process from 'node:process'

/** The environment variable by which a family is known; children inherit it. */
export const FAMILY_VARIABLE = 'AUTOVIBE_FAMILY'

/** By this a substrate of bare processes finds all that runs in a machine; it must reach every child. */
export const MACHINE_MARK = 'AUTOVIBE_MACHINE'

const ROUNDS_MAX = 20

interface Entry {
  readonly pid: number
  readonly parent: number
  readonly group: number
  readonly zombie: boolean
}

interface Family {
  readonly mark: string
  /** A person's own command, which no limit of the agent's run stops. */
  readonly isOfPerson: boolean
  /** Several may want it to stand still; it goes on when none does any more. */
  stops: number
  stoppedAtMs: number
  stoodStillMs: number
}

const living = new Map<number, Family>()
let allStopped = false

/** Remembers the family until the returned function is called, so that it ends with the agent, and stands still when all do. */
export function enlist(rootPid: number, mark: string, isOfPerson = false): () => void {
  living.set(rootPid, { mark, isOfPerson, stops: 0, stoppedAtMs: 0, stoodStillMs: 0 })
  if (allStopped && !isOfPerson) stopFamily(rootPid, mark)
  return () => void living.delete(rootPid)
}

/** Ends every family that is enlisted. */
export function killAllFamilies(): void {
  for (const [rootPid, { mark }] of living) killFamily(rootPid, mark)
}

/** Stops every family of the agent that is enlisted or will be, until `continueAllFamilies`. */
export function stopAllFamilies(): void {
  if (allStopped) return
  allStopped = true
  for (const [rootPid, { mark, isOfPerson }] of living) if (!isOfPerson) stopFamily(rootPid, mark)
}

export function continueAllFamilies(): void {
  if (!allStopped) return
  allStopped = false
  for (const [rootPid, { mark, isOfPerson }] of living) if (!isOfPerson) continueFamily(rootPid, mark)
}

/** How long the family has stood still since it was enlisted. */
export function stoodStillMs(rootPid: number): number {
  const family = living.get(rootPid)
  if (!family) return 0
  return family.stoodStillMs + (family.stops > 0 ? performance.now() - family.stoppedAtMs : 0)
}

/** The living processes of the family whose first process had this id and mark. Without /proc only the first one is known. */
export function familyOf(rootPid: number, mark: string): number[] {
  const entries = processes()
  if (!entries) return [rootPid]
  const members = new Set<number>()
  const marked = Buffer.from(`${FAMILY_VARIABLE}=${mark}`)
  for (const entry of entries) if (entry.pid === rootPid || entry.group === rootPid || carries(entry.pid, marked)) members.add(entry.pid)
  // Children of members, until no more are found; a pass adds at least one, so this ends.
  for (let found = true; found; ) {
    found = false
    for (const entry of entries) {
      if (members.has(entry.pid) || !members.has(entry.parent)) continue
      members.add(entry.pid)
      found = true
    }
  }
  members.delete(process.pid)
  return entries.filter((entry) => members.has(entry.pid) && !entry.zombie).map((entry) => entry.pid)
}

/** Ends the whole family, again and again until none is left that could still have started another. */
export function killFamily(rootPid: number, mark: string): void {
  send(-rootPid, 'SIGKILL')
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const members = familyOf(rootPid, mark)
    const alive = members.filter((pid) => send(pid, 'SIGKILL'))
    if (alive.length === 0) return
  }
}

/** Stops the whole family: repeated until a look finds no member that was not stopped before. */
export function stopFamily(rootPid: number, mark: string): void {
  const family = living.get(rootPid)
  if (family && ++family.stops === 1) family.stoppedAtMs = performance.now()
  send(-rootPid, 'SIGSTOP')
  const stopped = new Set<number>()
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const fresh = familyOf(rootPid, mark).filter((pid) => !stopped.has(pid))
    if (fresh.length === 0) return
    for (const pid of fresh) {
      send(pid, 'SIGSTOP')
      stopped.add(pid)
    }
  }
}

/** Does nothing while somebody else wants the family to stand still. */
export function continueFamily(rootPid: number, mark: string): void {
  const family = living.get(rootPid)
  if (family && family.stops > 0) {
    if (--family.stops > 0) return
    family.stoodStillMs += performance.now() - family.stoppedAtMs
  }
  for (const pid of familyOf(rootPid, mark).reverse()) send(pid, 'SIGCONT')
  send(-rootPid, 'SIGCONT')
}

/** The oldest living child of a process; undefined when it has none. */
export function childOf(parent: number): number | undefined {
  return processes()?.find((entry) => entry.parent === parent && !entry.zombie)?.pid
}

/** Sends a signal to all of the family that is there now; stopped ones get it too. */
export function signalFamily(rootPid: number, mark: string, signal: NodeJS.Signals): void {
  for (const pid of familyOf(rootPid, mark)) {
    send(pid, signal)
    send(pid, 'SIGCONT')
  }
}

/** False when the process is gone. */
export function send(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal)
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ESRCH' || error.code === 'EPERM')) return false
    throw error
  }
}

function processes(): Entry[] | undefined {
  let names: string[]
  try {
    names = readdirSync('/proc')
  } catch {
    // No /proc on this system: the process group is all that is known.
    return undefined
  }
  return names.filter((name) => /^[0-9]+$/.test(name)).flatMap((name) => entryOf(Number(name)) ?? [])
}

function entryOf(pid: number): Entry | undefined {
  const text = readProc(pid, 'stat')?.toString('latin1')
  if (text === undefined) return undefined
  // The name in parentheses may hold anything, parentheses too; the last one ends it.
  const [state, parent, group] = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { pid, parent: Number(parent), group: Number(group), zombie: state === 'Z' || state === 'X' }
}

function carries(pid: number, marked: Buffer): boolean {
  return readProc(pid, 'environ')?.includes(marked) ?? false
}

function readProc(pid: number, name: string): Buffer | undefined {
  try {
    return readFileSync(`/proc/${pid}/${name}`)
  } catch {
    // Gone in the meantime, or another user's.
    return undefined
  }
}
