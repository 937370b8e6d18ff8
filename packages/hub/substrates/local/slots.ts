/**
 * A slot: the processes of a machine without project and name, booted before anybody asks, whose agent waits for its token. A machine takes one over by steps that
 * each look first, so that they can be done again after a crash in their middle; from the first on, the machine's file `slot` says whose processes are its own.
 */
import { randomBytes } from 'node:crypto'
import { constants, existsSync, readFileSync, readlinkSync } from 'node:fs'
import { access, mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isId, type MachineId } from '@autovibe/contract'
import { encodeId } from '@autovibe/core/ids.ts'
import { endGroup, groupNamed, makeGroup } from './cgroups.ts'
import { runOrThrow, toolFailure } from './command.ts'
import { listMachineIds, type MachineDocument, removeFile } from './documents.ts'
import { type Host, insideNameOf } from './host.ts'
import { discard } from './layers.ts'
import { machinePaths, slotPaths } from './layout.ts'
import { mountedIn, mountTree, overlayOptions } from './overlay.ts'
import { descendantPids, type Process } from './processes.ts'
import { endMarked, readLog, slotOf, startEmpty, writtenSupervisor } from './supervisor.ts'

/** What `hostname` says inside until a machine has the slot. */
const NAME = 'machine'
const HOSTNAME_TIMEOUT_MS = 5_000
const MOUNT_TIMEOUT_MS = 15_000
const MOUNT_LOOK_MS = 1
const RANDOM_BYTES = 10
/** What packages/agent/wait-for-token.ts calls itself when it has loaded all. */
const WAITING = 'agent-waits'
const READY_TIMEOUT_MS = 20_000
const READY_LOOK_MS = 20

/** Boots one and returns its name when its agent waits for its token. */
export async function bootSlot(host: Host, signal: AbortSignal): Promise<MachineId> {
  const slot = encodeId('machine', Date.now(), randomBytes(RANDOM_BYTES))
  const paths = slotPaths(host.layout, slot)
  await mkdir(paths.folder, { mode: 0o700 })
  try {
    const limits = host.defaultLimits
    await startEmpty(host, slot, paths, NAME, { limits, group: host.groups === null ? null : await makeGroup(host.groups, slot, limits) }, signal)
    if (host.options.agentCode.entry === undefined) await isReady(host, slot, signal)
    return slot
  } catch (error) {
    await endSlot(host, slot)
    throw error
  }
}

/** Its name says so; nobody waits for this but the pool. */
async function isReady(host: Host, slot: MachineId, signal: AbortSignal): Promise<void> {
  const until = performance.now() + READY_TIMEOUT_MS
  for (;;) {
    const supervisor = await writtenSupervisor(slotPaths(host.layout, slot))
    if (supervisor !== null && descendantPids(supervisor.pid).some((pid) => nameOf(pid) === WAITING)) return
    if (supervisor === null || performance.now() > until) throw toolFailure('Booting a machine in advance', await readLog(slotPaths(host.layout, slot)))
    await delay(READY_LOOK_MS, undefined, { signal })
  }
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
  } catch {
    // It ended meanwhile.
    return ''
  }
}

/** Ends a slot that no machine has taken over. */
export async function endSlot(host: Host, slot: MachineId): Promise<void> {
  await endMarked(host, new Set([slot]))
  await endGroupOf(host, slot)
  await discard(host, slotPaths(host.layout, slot).folder)
}

const endGroupOf = async (host: Host, slot: MachineId): Promise<void> => {
  if (host.groups !== null) await endGroup(groupNamed(host.groups, slot))
}

/** Whether the slot's processes are there and nobody has touched them. */
export const isWaiting = async (host: Host, slot: MachineId): Promise<boolean> => (await writtenSupervisor(slotPaths(host.layout, slot))) !== null

/** Ends all that an earlier Hub had waiting; what a machine has taken over is that machine's. */
export async function endLeftSlots(host: Host): Promise<void> {
  const taken = new Set<string | null>()
  for (const machineId of await listMachineIds(host.layout)) taken.add(slotOf(host, machineId))
  for (const name of await readdir(host.layout.slots)) if (isId('machine', name) && !taken.has(name)) await endSlot(host, name)
}

/** From here on the slot's processes are the machine's, whatever happens next: the first step. `finishTakeOver` does the rest. */
export async function beginTakeOver(host: Host, machineId: MachineId, slot: MachineId): Promise<void> {
  const fresh = `${machinePaths(host.layout, machineId).slot}.new`
  await writeFile(fresh, slot, { mode: 0o600 })
  await rename(fresh, machinePaths(host.layout, machineId).slot)
}

/** True when a machine has begun to take over a slot and its agent does not know of it yet. */
export function isHalfTakenOver(host: Host, machineId: MachineId): boolean {
  const paths = machinePaths(host.layout, machineId)
  return existsSync(paths.slot) && !(existsSync(paths.token) && !existsSync(paths.tokenToCome) && !existsSync(slotFolder(host, machineId)))
}

/** Gives the slot the machine's socket folder, its tree and then its token; its name comes beside, for nobody waits for that. `listen` opens the machine's socket. */
export async function finishTakeOver(
  host: Host,
  machineId: MachineId,
  document: MachineDocument,
  findSupervisor: () => Promise<Process | null>,
  listen: () => Promise<void>,
): Promise<void> {
  await moveFiles(host, machineId)
  const supervisor = await findSupervisor()
  // It ended while nobody looked: the machine counts as one whose agent ended.
  if (supervisor === null) return
  await Promise.all([listen(), giveTree(host, machineId, document, supervisor)])
  await showToken(host, machineId)
  await nameMachine(host, supervisor, document.name)
}

async function giveTree(host: Host, machineId: MachineId, document: MachineDocument, supervisor: Process): Promise<void> {
  const { tree, upper } = mountedIn(host, supervisor.pid)
  if (upper !== null) return
  const options = overlayOptions(document.layers, document.upper, host.offer.asRoot)
  if (!(await tell(machinePaths(host.layout, machineId).treePipe, `${options} ${document.upper}\n`)))
    return mountTree(host, supervisor.pid, tree, document.layers, document.upper)
  const until = performance.now() + MOUNT_TIMEOUT_MS
  while (mountedIn(host, supervisor.pid).upper === null) {
    if (performance.now() > until) throw toolFailure('Mounting the machine’s tree', await readLog(machinePaths(host.layout, machineId)))
    await delay(MOUNT_LOOK_MS)
  }
}

/** False when nobody reads there (any more): its reader was told before, or has ended. */
async function tell(pipe: string, line: string): Promise<boolean> {
  try {
    const file = await open(pipe, constants.O_WRONLY | constants.O_NONBLOCK)
    try {
      await file.write(line)
      return true
    } finally {
      await file.close()
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENXIO' || code === 'ENOENT' || code === 'EPIPE') return false
    throw error
  }
}

/** A machine whose slot has ended has its files for itself again, also when it had taken over only half of them. */
export async function forgetSlot(host: Host, machineId: MachineId): Promise<void> {
  const slot = slotOf(host, machineId)
  if (slot === null) return
  await endGroupOf(host, slot)
  await moveFiles(host, machineId)
  await showToken(host, machineId)
  await removeFile(machinePaths(host.layout, machineId).slot)
}

async function showToken(host: Host, machineId: MachineId): Promise<void> {
  const { token, tokenToCome } = machinePaths(host.layout, machineId)
  if (await isThere(tokenToCome)) await rename(tokenToCome, token)
}

const slotFolder = (host: Host, machineId: MachineId): string => join(host.layout.slots, slotOf(host, machineId) ?? 'none')

/** The token goes first, so that it is never gone; the folder that the agent sees goes last, by which all is moved. */
async function moveFiles(host: Host, machineId: MachineId): Promise<void> {
  const slot = slotOf(host, machineId)
  if (slot === null) return
  const [to, from] = [machinePaths(host.layout, machineId), slotPaths(host.layout, slot)]
  if (await isThere(from.socketDir)) {
    const token = await readFile(to.token, 'utf8').catch(() => null)
    if (token !== null) await writeFile(from.tokenToCome, token, { mode: 0o600 })
    for (const file of [from.pid, from.treePipe, from.lock, from.log, from.arguments])
      if (await isThere(file)) await rename(file, join(to.folder, basename(file)))
    await rm(to.socketDir, { recursive: true, force: true })
    await rename(from.socketDir, to.socketDir)
  }
  await rm(from.folder, { recursive: true, force: true })
}

/** The name belongs to the sandbox's own namespace, which is another one than the supervisor's. */
async function nameMachine(host: Host, supervisor: Process, name: string): Promise<void> {
  const outside = readlinkSync('/proc/self/ns/uts')
  const inside = descendantPids(supervisor.pid).find((pid) => {
    try {
      return readlinkSync(`/proc/${pid}/ns/uts`) !== outside
    } catch {
      // It ended meanwhile.
      return false
    }
  })
  if (inside === undefined) return
  const [command, ...args] = insideNameOf(inside, supervisor.pid, host.offer.asRoot)
  await runOrThrow(command, [...args, 'hostname', name], { timeoutMs: HOSTNAME_TIMEOUT_MS, what: 'Naming the machine' })
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )
