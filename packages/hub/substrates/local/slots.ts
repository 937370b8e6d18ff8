/**
 * A slot: the processes of a machine without project and name, booted before anybody asks, whose agent waits for its token. A machine takes one over by steps that
 * each look first, so that they can be done again after a crash in their middle; from the first on, the machine's file `slot` says whose processes are its own.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, readlinkSync } from 'node:fs'
import { access, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { isId, type MachineId } from '@autovibe/contract'
import { encodeId } from '@autovibe/core/ids.ts'
import { runOrThrow } from './command.ts'
import { listMachineIds, type MachineDocument, removeFile } from './documents.ts'
import { type Host, insideNamespaceOf } from './host.ts'
import { discard } from './layers.ts'
import { machinePaths, slotPaths } from './layout.ts'
import { mountedIn, mountTree } from './overlay.ts'
import { descendants, type Process, parseStat, readProcess } from './processes.ts'
import { endMarked, slotOf, startEmpty } from './supervisor.ts'

/** What `hostname` says inside until a machine has the slot. */
const NAME = 'machine'
const HOSTNAME_TIMEOUT_MS = 5_000
const RANDOM_BYTES = 10

/** Boots one and returns its name when its agent was started. */
export async function bootSlot(host: Host, signal: AbortSignal): Promise<MachineId> {
  const slot = encodeId('machine', Date.now(), randomBytes(RANDOM_BYTES))
  const paths = slotPaths(host.layout, slot)
  await mkdir(paths.folder, { mode: 0o700 })
  try {
    await startEmpty(host, slot, paths, NAME, signal)
    return slot
  } catch (error) {
    await endSlot(host, slot)
    throw error
  }
}

/** Ends a slot that no machine has taken over. */
export async function endSlot(host: Host, slot: MachineId): Promise<void> {
  await endMarked(host, new Set([slot]))
  await discard(host, slotPaths(host.layout, slot).folder)
}

/** Whether the slot's processes are there and nobody has touched them. */
export async function isWaiting(host: Host, slot: MachineId): Promise<boolean> {
  const written = parseStat(await readFile(slotPaths(host.layout, slot).pid, 'latin1').catch(() => ''))
  return written !== null && readProcess(written.pid)?.startTicks === written.startTicks
}

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

/** Gives the slot the machine's socket folder, tree, name and, last, its token. `listen` opens the machine's socket. */
export async function finishTakeOver(
  host: Host,
  machineId: MachineId,
  document: MachineDocument,
  supervisorOf: () => Promise<Process | null>,
  listen: () => Promise<void>,
): Promise<void> {
  await moveFiles(host, machineId)
  const supervisor = await supervisorOf()
  // It ended while nobody looked: the machine counts as one whose agent ended.
  if (supervisor === null) return
  const mounted = mountedIn(host, supervisor.pid)
  await Promise.all([
    listen(),
    nameMachine(host, supervisor, document.name),
    mounted.upper === null ? mountTree(host, supervisor.pid, mounted.tree, document.layers, document.upper) : undefined,
  ])
  await showToken(host, machineId)
}

/** A machine whose slot has ended has its files for itself again, also when it had taken over only half of them. */
export async function forgetSlot(host: Host, machineId: MachineId): Promise<void> {
  if (slotOf(host, machineId) === null) return
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
    for (const file of [from.pid, from.lock, from.log, from.arguments]) if (await isThere(file)) await rename(file, join(to.folder, basename(file)))
    await rm(to.socketDir, { recursive: true, force: true })
    await rename(from.socketDir, to.socketDir)
  }
  await rm(from.folder, { recursive: true, force: true })
}

/** The name belongs to the sandbox's own namespace, which is another one than the supervisor's. */
async function nameMachine(host: Host, supervisor: Process, name: string): Promise<void> {
  const outside = readlinkSync('/proc/self/ns/uts')
  const inside = descendants(supervisor.pid).find(({ pid }) => {
    try {
      return readlinkSync(`/proc/${pid}/ns/uts`) !== outside
    } catch {
      // It ended meanwhile.
      return false
    }
  })
  if (inside === undefined) return
  const [command, ...args] = insideNamespaceOf(inside.pid, host.offer.asRoot, 'u')
  await runOrThrow(command, [...args, 'hostname', name], { timeoutMs: HOSTNAME_TIMEOUT_MS, what: 'Naming the machine' })
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )
