/** Control groups of machines: found by trying, made below one parent for each data directory, read, and ended with all that is in them. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { AutovibeError, type MachineLimits } from '@autovibe/contract'
import { type Counted, countedIn, settingsFor, type Version } from './cgroup-files.ts'
import { type Controller, type Hierarchy, parseHierarchies } from './cgroup-places.ts'

/** The folders of one group: in v1 one for each controller, in v2 the same for all. */
export interface Group {
  readonly version: Version
  readonly folders: Readonly<Partial<Record<Controller, string>>>
}

const END_TIMEOUT_MS = 10_000
const CONTROLLERS_V2: readonly Controller[] = ['memory', 'cpu', 'pids']
/** Named so that a person who meets one knows whose it is. */
export const parentName = (dataMark: string): string => `autovibe-${dataMark}`

export const hierarchies = (): Hierarchy[] => parseHierarchies(readFileSync('/proc/self/mountinfo', 'utf8'), readFileSync('/proc/self/cgroup', 'utf8'))

/** Where a Hub of an ordinary user stands aside to, since in v2 a group that hands on controllers has no processes itself. */
export const ASIDE = 'autovibe-hub'

/** One place in which a parent may stand, with the controllers to look for there. */
export interface Place {
  readonly folder: string
  readonly controllers: readonly Controller[]
  /** Another's, or ours alone. */
  readonly isOwn: boolean
}

/**
 * The places of a version, in the order in which they are tried, by hierarchy. The top first, since machines outlive the Hub and so the group that it was
 * started in; else its own group, which may have been handed over to an ordinary user.
 */
export function placesOf(found: readonly Hierarchy[], version: Version): readonly (readonly Place[])[] {
  return found
    .filter((hierarchy) => hierarchy.version === version)
    .map(({ mount, own, controllers }) => {
      const names = version === 'v2' ? CONTROLLERS_V2 : controllers
      const group = basename(own) === ASIDE ? dirname(own) : own
      const top: Place = { folder: mount, controllers: names, isOwn: false }
      return group === mount ? [top] : [top, { folder: group, controllers: names, isOwn: true }]
    })
}

/** The group of this name below its parents, whether it is there or not. */
export function groupNamed(parents: Group, name: string): Group {
  return { version: parents.version, folders: Object.fromEntries(Object.entries(parents.folders).map(([key, folder]) => [key, join(folder, name)])) }
}

/** Makes a group's folders and holds it to the limits; one that is left of an earlier life is ended first. */
export async function makeGroup(parents: Group, name: string, limits: MachineLimits): Promise<Group> {
  const group = groupNamed(parents, name)
  await endGroup(group)
  for (const folder of foldersOf(parents)) prepareParent(parents.version, folder)
  for (const folder of foldersOf(group)) mkdirSync(folder, { recursive: true })
  holdFirmly(group, limits)
  return group
}

/** Throws `substrate.failed` when a limit cannot be set. */
export function holdFirmly(group: Group, limits: MachineLimits): void {
  const refused = holdTo(group, limits)
  if (refused.length > 0) throw new AutovibeError('substrate.failed', 'The limits of the machine could not be set.', { internal: refused.join('; ') })
}

/** Answers what could not be set: a limit below what is in use already may be refused. */
export function holdTo(group: Group, limits: Pick<MachineLimits, 'memory_bytes' | 'cores' | 'processes'>): string[] {
  const refused: string[] = []
  for (const { controller, file, value, optional } of settingsFor(group.version, limits)) {
    const folder = group.folders[controller]
    if (folder === undefined) continue
    try {
      writeFileSync(join(folder, file), value, { flag: 'r+' })
    } catch (error) {
      if (!optional) refused.push(`${file} ${value}: ${(error as NodeJS.ErrnoException).code}`)
    }
  }
  return refused
}

export function readGroup(group: Group): Counted {
  return countedIn(group.version, (controller, file) => {
    // In v2 the count of processor time is in every group, in v1 its controller may be mounted alone.
    const folder = group.folders[controller]
    return folder === undefined ? null : readOrNull(join(folder, file))
  })
}

/** The files by which a process joins the group: it writes 0. */
export const doorsOf = (group: Group): string[] => foldersOf(group).map((folder) => join(folder, 'cgroup.procs'))

/** Whether the process is in each of the group's folders. */
export const holds = (group: Group, pid: number): boolean => foldersOf(group).length > 0 && foldersOf(group).every((folder) => membersOf(folder).includes(pid))

/** Ends every process in the group and keeps the group, for what it counted. */
export function emptyGroup(group: Group): Promise<void> {
  return endUntil(group, (folder) => membersOf(folder).length === 0)
}

/** Ends every process in the group and removes it. A group that is not there is no error. */
export async function endGroup(group: Group): Promise<void> {
  await endUntil(group, removed)
  // With the last machine its parent goes too; the next makes it anew.
  for (const folder of foldersOf(group)) removed(dirname(folder))
}

/** The groups below the parents of this data directory, wherever an earlier Hub may have made them. */
export function listGroups(dataMark: string): Group[] {
  const found = new Map<string, Group>()
  for (const version of ['v1', 'v2'] as const) {
    for (const { folder, controllers } of placesOf(hierarchies(), version).flat()) {
      const parent = join(folder, parentName(dataMark))
      for (const name of childrenOf(parent)) {
        const key = `${version} ${name} ${version === 'v1' ? '' : parent}`
        const own = Object.fromEntries(controllers.map((controller) => [controller, join(parent, name)]))
        found.set(key, { version, folders: { ...found.get(key)?.folders, ...own } })
      }
    }
  }
  return [...found.values()]
}

export const nameOf = (group: Group): string => basename(foldersOf(group)[0] ?? '')

/** In v2 children have only the controllers that their parent hands on. */
export function prepareParent(version: Version, folder: string): void {
  mkdirSync(folder, { recursive: true })
  if (version === 'v2') handOn(folder)
}

/** Moves whoever is in this group, which must be ours alone, into one beneath it. */
export function standAside(folder: string): void {
  const aside = join(folder, ASIDE)
  mkdirSync(aside, { recursive: true })
  for (const pid of membersOf(folder)) writeFileSync(join(aside, 'cgroup.procs'), String(pid), { flag: 'r+' })
}

/** The controllers that a group of v2 has. */
export const controllersOf = (folder: string): string[] => (readOrNull(join(folder, 'cgroup.controllers')) ?? '').trim().split(' ')

/** Hands on each controller that this folder has itself; those that it cannot are found missing by whoever needs them. */
export function handOn(folder: string): void {
  for (const name of CONTROLLERS_V2.filter((controller) => controllersOf(folder).includes(controller))) {
    try {
      writeFileSync(join(folder, 'cgroup.subtree_control'), `+${name}`, { flag: 'r+' })
    } catch {
      // Its processes stand in the way, or it is not ours.
    }
  }
}

async function endUntil(group: Group, isDone: (folder: string) => boolean): Promise<void> {
  const until = performance.now() + END_TIMEOUT_MS
  for (const folder of foldersOf(group)) {
    for (let waitMs = 1; !isDone(folder); waitMs = Math.min(waitMs * 2, 20)) {
      endProcesses(folder)
      if (performance.now() > until)
        throw new AutovibeError('substrate.failed', 'The control group of the machine could not be ended.', { retryable: true, internal: folder })
      await delay(waitMs)
    }
  }
}

/** 0 stands for a process that cannot be seen from here. */
const membersOf = (folder: string): number[] =>
  (readOrNull(join(folder, 'cgroup.procs')) ?? '')
    .split('\n')
    .filter((line) => line !== '')
    .map(Number)

/** All that are in it now; what they have started meanwhile is met at the next look. */
function endProcesses(folder: string): void {
  for (const pid of membersOf(folder)) {
    if (pid <= 0 || pid === process.pid) continue
    try {
      process.kill(pid, 'SIGKILL')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
}

function removed(folder: string): boolean {
  try {
    rmdirSync(folder)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}

const foldersOf = (group: Group): string[] => [...new Set(Object.values(group.folders))]

const childrenOf = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => name)
    : []

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}
