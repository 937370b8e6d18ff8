/** Finds out which control groups this host lets the Hub have, by making one, holding it to limits, and putting a process in. */
import { existsSync, mkdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Finding, MachineLimits } from '@autovibe/contract'
import type { Version } from './cgroup-files.ts'
import type { Controller } from './cgroup-places.ts'
import {
  controllersOf,
  endGroup,
  type Group,
  handOn,
  hierarchies,
  holdTo,
  type Place,
  parentName,
  placesOf,
  prepareParent,
  readGroup,
  standAside,
} from './cgroups.ts'
import { run } from './command.ts'

const PROBE_TIMEOUT_MS = 5_000
const PROBE_LIMITS: Pick<MachineLimits, 'cores' | 'memory_bytes' | 'processes'> = { cores: 0.5, memory_bytes: 64 * 1024 ** 2, processes: 64 }
/** What is held, in the words of the finding. */
const HELD: Readonly<Record<Controller, string>> = { memory: 'memory', cpu: 'cores', cpuacct: 'processor time', pids: 'processes' }

export interface GroupOffer {
  /** Null when machines are only looked at. */
  readonly parents: Group | null
  readonly finding: Finding
}

/** `force`: only this version, or none. */
export async function probeGroups(dataMark: string, force?: Version | 'none'): Promise<GroupOffer> {
  for (const version of force === undefined ? (['v2', 'v1'] as const) : force === 'none' ? [] : [force]) {
    const folders: Partial<Record<Controller, string>> = {}
    for (const alternatives of placesOf(hierarchies(), version)) {
      for (const place of alternatives) {
        const working = await tryOut(version, place, dataMark)
        for (const controller of working) folders[controller] = join(place.folder, parentName(dataMark))
        if (working.length > 0) break
      }
    }
    // Processor time alone is no limit.
    if (folders.memory !== undefined || folders.pids !== undefined) return { parents: { version, folders }, finding: findingOf(version, folders) }
  }
  return { parents: null, finding: NONE }
}

/** The controllers that work in a place, each tried in a group of its own, which is gone afterwards. */
async function tryOut(version: Version, place: Place, dataMark: string): Promise<Controller[]> {
  const parent = join(place.folder, parentName(dataMark))
  const wasThere = existsSync(parent)
  const working: Controller[] = []
  try {
    if (version === 'v2') {
      // A group with controllers that an ordinary user may change was handed over to it, and has the Hub in it.
      if (place.isOwn && process.getuid?.() !== 0 && hasController(place)) standAside(place.folder)
      handOn(place.folder)
    }
    for (const controller of place.controllers) if (await works(version, controller, parent)) working.push(controller)
  } catch {
    // Read-only, or not ours: all the same to a machine.
  } finally {
    if (!wasThere && existsSync(parent)) rmdirSync(parent)
  }
  return working
}

const hasController = ({ folder, controllers }: Place): boolean => controllers.some((name) => controllersOf(folder).includes(name))

async function works(version: Version, controller: Controller, parent: string): Promise<boolean> {
  const folder = join(parent, `probe-${process.pid}`)
  const probe: Group = { version, folders: { [controller]: folder } }
  prepareParent(version, parent)
  mkdirSync(folder)
  try {
    if (holdTo(probe, PROBE_LIMITS).length > 0) return false
    const joined = await run('sh', ['-c', 'echo 0 >"$1"', 'sh', join(folder, 'cgroup.procs')], { timeoutMs: PROBE_TIMEOUT_MS })
    // In v1 a quota of processors counts nothing that is asked for.
    const counts = (version === 'v1' && controller === 'cpu') || Object.values(readGroup(probe)).some((figure) => figure !== null)
    return joined.code === 0 && counts
  } finally {
    await endGroup(probe)
  }
}

function findingOf(version: Version, folders: Group['folders']): Finding {
  const about = { area: 'substrate', name: 'limits' }
  const missing = (['memory', 'cpu', 'pids'] as const).filter((controller) => folders[controller] === undefined)
  const held = (Object.keys(folders) as Controller[]).map((controller) => HELD[controller]).join(', ')
  if (missing.length === 0) return { ...about, status: 'ok', detail: `control groups ${version} hold and measure each machine: ${held}`, fix: null }
  return {
    ...about,
    status: 'warning',
    detail: `control groups ${version} hold ${held} of each machine, but not ${missing.map((controller) => HELD[controller]).join(', ')}: that is looked at only now and then, and estimated`,
    fix: DELEGATE,
  }
}

/** Starts the Hub in a group that belongs to the user, with all controllers (systemd.resource-control(5), Delegate=). */
const DELEGATE = 'systemd-run --user --scope -p Delegate=yes autovibe up'

const NONE: Finding = {
  area: 'substrate',
  name: 'limits',
  status: 'warning',
  detail: 'no control groups: memory, processes and disk of machines are looked at every few seconds and estimated, their cores are not held',
  fix: DELEGATE,
}
