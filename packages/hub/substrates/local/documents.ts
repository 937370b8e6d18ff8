/** The JSON files that say what exists: one per machine, one per snapshot. Each is replaced in one rename, so a crash leaves the old or the new one; a power cut too. */
import { existsSync, linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { open, readdir, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { AutovibeError, type CheckpointId, isId, type MachineId, MachineLimits } from '@autovibe/contract'
import { z } from 'zod'
import { type Layout, machinePaths, snapshotPath } from './layout.ts'

const LayerName = z.string().regex(/^[a-z0-9]{1,12}$/)
/** Layers from the oldest to the newest. */
const Stack = z.array(LayerName)

const MachineDocument = z.object({
  version: z.literal(1),
  name: z.string(),
  created_at: z.iso.datetime(),
  copy: z.enum(['overlay', 'copy']),
  /** The frozen layers beneath; empty for a plain copy. */
  layers: Stack,
  /** The layer that the machine writes to; a plain copy's whole tree. */
  upper: LayerName,
  /** The snapshots that this tree descends from, oldest first. */
  line: z.array(z.string()),
  /** What it may take from its next start on; null: what the host allows. */
  limits: MachineLimits.nullable().default(null),
})
export type MachineDocument = z.infer<typeof MachineDocument>

const SnapshotDocument = z.object({
  version: z.literal(1),
  machine: z.string(),
  created_at: z.iso.datetime(),
  layers: Stack.min(1),
  line: z.array(z.string()),
  consistency: z.enum(['consistent', 'fuzzy']),
  /** Until all of it was written to disk: the boot of the host in which it was taken. In a later boot it may be torn, and counts as gone. */
  unwritten_boot: z.string().nullable().default(null),
})
export type SnapshotDocument = z.infer<typeof SnapshotDocument>

/** Null when there is no such machine. */
export const readMachine = (layout: Layout, id: MachineId): Promise<MachineDocument | null> => read(machinePaths(layout, id).document, MachineDocument)
export const writeMachine = (layout: Layout, id: MachineId, document: MachineDocument): Promise<void> =>
  writeDurably(machinePaths(layout, id).document, document)
/** Nobody waits for the disk: in the middle of a snapshot, of which a crash of the host leaves nothing anyway. The one before is kept beside it. */
export function writeMachineSoon(layout: Layout, id: MachineId, document: MachineDocument): void {
  const path = machinePaths(layout, id).document
  rmSync(beforeName(path), { force: true })
  if (existsSync(path)) linkSync(path, beforeName(path))
  replace(path, document)
}
/** Null when there is no such snapshot. */
export const readSnapshot = (layout: Layout, handle: string): Promise<SnapshotDocument | null> => read(snapshotPath(layout, handle), SnapshotDocument)
export const writeSnapshot = (layout: Layout, handle: string, document: SnapshotDocument): Promise<void> => writeDurably(snapshotPath(layout, handle), document)
/** Nobody waits for the disk here either. */
export const writeSnapshotSoon = (layout: Layout, handle: string, document: SnapshotDocument): void => replace(snapshotPath(layout, handle), document)

/** The folders of machines, whether their file was written yet or not. */
export async function listMachineIds(layout: Layout): Promise<MachineId[]> {
  return (await readdir(layout.machines)).filter((name): name is MachineId => isId('machine', name))
}

export async function listSnapshotIds(layout: Layout): Promise<CheckpointId[]> {
  const names = await readdir(layout.snapshots)
  return names.map((name) => basename(name, '.json')).filter((name): name is CheckpointId => isId('checkpoint', name))
}

/** Removes a file; a missing one is no error. */
export async function removeFile(path: string): Promise<void> {
  await unlink(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
  })
}

/** At once: these files are small and lie in memory, and libuv's threads may be busy with large ones for some milliseconds. */
async function read<T>(path: string, schema: z.ZodType<T>): Promise<T | null> {
  // What nobody waited for may be empty after a power cut; then what it replaced counts.
  const text = textOf(path) || textOf(beforeName(path))
  if (text === '') return null
  try {
    return schema.parse(JSON.parse(text))
  } catch (error) {
    throw new AutovibeError('substrate.failed', `The file ${path} is damaged.`, {
      cause: error,
      fix: 'Restore the data directory from a copy, or destroy the machine.',
    })
  }
}

async function writeDurably(path: string, value: unknown): Promise<void> {
  const fresh = freshName(path)
  const file = await open(fresh, 'w', 0o600)
  try {
    await file.writeFile(JSON.stringify(value))
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(fresh, path)
  const folder = await open(dirname(path), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

function replace(path: string, value: unknown): void {
  writeFileSync(freshName(path), JSON.stringify(value), { mode: 0o600 })
  renameSync(freshName(path), path)
}

const textOf = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '')
const beforeName = (path: string): string => join(dirname(path), `.${basename(path)}.before`)

const freshName = (path: string): string => join(dirname(path), `.${basename(path)}.new`)
