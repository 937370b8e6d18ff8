/** Where the local substrate keeps things, and the names it gives them: all under `<dataDir>/local`, all for the Hub's user alone. */
import { createHash } from 'node:crypto'
import { mkdir, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { AutovibeError, type CheckpointId, isId, type MachineId } from '@autovibe/contract'
import type { SnapshotHandle } from '../substrate.ts'

export interface Layout {
  readonly root: string
  readonly machines: string
  /** Booted machines that wait for a project. */
  readonly slots: string
  readonly snapshots: string
  readonly layers: string
  readonly trash: string
  /** Root folders for machines to see, with mount points and a small /etc; one for each form it ever had. */
  readonly roots: string
  /** Compile caches of the agent's code, one for each version of it. */
  readonly caches: string
  /** Marks the processes of this data directory, so that two Hubs on one host never take each other's. */
  readonly dataMark: string
}

/** Opens the folders, making those that are missing. */
export async function openLayout(dataDir: string): Promise<Layout> {
  await mkdir(join(dataDir, 'local'), { recursive: true, mode: 0o700 })
  const root = await realpath(join(dataDir, 'local'))
  const layout: Layout = {
    root,
    machines: join(root, 'machines'),
    slots: join(root, 'slots'),
    snapshots: join(root, 'snapshots'),
    layers: join(root, 'layers'),
    trash: join(root, 'trash'),
    roots: join(root, 'roots'),
    caches: join(root, 'caches'),
    dataMark: createHash('sha256').update(root).digest('hex').slice(0, 12),
  }
  for (const folder of [layout.machines, layout.slots, layout.snapshots, layout.layers, layout.trash, layout.roots, layout.caches])
    await mkdir(folder, { recursive: true, mode: 0o700 })
  return layout
}

export interface MachinePaths {
  readonly folder: string
  readonly document: string
  readonly pid: string
  /** Where a machine that was booted in advance is told of its tree (supervisor.ts makes it beside the pid file). */
  readonly treePipe: string
  readonly lock: string
  readonly log: string
  readonly arguments: string
  /** The place for temporary files of a machine that cannot have a /tmp of its own. */
  readonly temporary: string
  readonly socketDir: string
  readonly socket: string
  readonly token: string
  /** The token while the machine shall not see it yet. */
  readonly tokenToCome: string
  /** Names the slot whose processes the machine took over, if it did. */
  readonly slot: string
}

/** The files of one machine. */
export function machinePaths(layout: Layout, machineId: MachineId): MachinePaths {
  if (!isId('machine', machineId)) throw new AutovibeError('request.invalid', `“${String(machineId).slice(0, 60)}” is not the id of a machine.`)
  return pathsIn(join(layout.machines, machineId))
}

/** The same files of a slot, whose name has the form of a machine's. */
export const slotPaths = (layout: Layout, slot: MachineId): MachinePaths => pathsIn(join(layout.slots, slot))

function pathsIn(folder: string): MachinePaths {
  const socketDir = join(folder, 'socket')
  return {
    folder,
    document: join(folder, 'machine.json'),
    pid: join(folder, 'pid'),
    treePipe: join(folder, 'pid.tree'),
    lock: join(folder, 'lock'),
    log: join(folder, 'agent.log'),
    arguments: join(folder, 'arguments'),
    temporary: join(folder, 'tmp'),
    socketDir,
    socket: join(socketDir, 'hub.sock'),
    token: join(socketDir, 'token'),
    tokenToCome: join(socketDir, '.token'),
    slot: join(folder, 'slot'),
  }
}

/** A snapshot's handle is its checkpoint's id; anything else was not made here. */
export function snapshotPath(layout: Layout, handle: SnapshotHandle): string {
  if (!isId('checkpoint', handle)) throw new AutovibeError('substrate.snapshot_gone', 'The snapshot was not made by this substrate.')
  return join(layout.snapshots, `${handle satisfies CheckpointId}.json`)
}

export const layerTree = (layout: Layout, layer: string): string => join(layout.layers, layer, 'fs')

/** The words by which a machine's processes are known in /proc. */
export const processMark = (layout: Layout, machineId: MachineId): string => `autovibe:${machineId}:${layout.dataMark}`

/** sun_path holds 108 bytes with the closing NUL (unix(7)). */
export const SOCKET_PATH_BYTES = 107
