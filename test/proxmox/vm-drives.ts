/** Drives of a configuration come to be: new volumes, imports, cloud-init drives; and what goes when they go. */
import { join } from 'node:path'
import { died } from './answers.ts'
import type { Call } from './call.ts'
import type { Vm } from './cluster.ts'
import type { DiskSource } from './guests.ts'
import { storageOf } from './storages.ts'
import { Vanished, type Worker } from './tasks.ts'
import { type Drive, isCdrom, isCloudInit, isDrive, parseDrive, printDrive } from './vm-config.ts'
import { allocate, formatNamed, freeOrLeave, sizeText } from './volumes.ts'

const GIB = 1024 ** 3
const CLOUD_INIT_BYTES = 4 * 1024 ** 2

/** The drives of `wanted` with their volumes made; what was made is taken back when one cannot be. */
export async function createDrives(call: Call, vm: Vm, wanted: Readonly<Record<string, string>>, worker: Worker): Promise<Record<string, string>> {
  const made: string[] = []
  const drives: Record<string, string> = {}
  try {
    for (const key of Object.keys(wanted).filter(isDrive).sort()) {
      const drive = parseDrive(key, wanted[key] ?? '')
      const created = await createDrive(call, vm, drive, worker)
      if (created.file !== drive.file) made.push(created.file)
      drives[key] = printDrive(created)
    }
    return drives
  } catch (error) {
    if (!(error instanceof Vanished)) await freeOrLeave(call.cluster, vm.node, made, worker)
    throw error
  }
}

async function createDrive(call: Call, vm: Vm, drive: Drive, worker: Worker): Promise<Drive> {
  const { cluster } = call
  if (/^[^:/]+:cloudinit$/.test(drive.file)) return cloudInitDrive(call, vm, drive)
  const [, storage, gib] = /^(?:([^/:\s]+):)?(\d+(?:\.\d+)?)$/.exec(drive.file) ?? []
  if (gib === undefined || storage === undefined || isCdrom(drive)) {
    if (drive.file.includes(':') && !isCloudInit(drive) && !cluster.storages.volume(drive.file, vm.node)) throw died(`volume '${drive.file}' does not exist`)
    return drive
  }
  const { 'import-from': source, format, size: _, ...options } = drive.options
  const place = { node: vm.node, storage, vmid: vm.vmid, format: formatNamed(format) }
  const from = source === undefined ? null : sourceOf(call, vm, source)
  if (from === null && Number(gib) === 0) throw died(`unable to create image: size must be positive`)
  const bytes = from?.bytes ?? Math.floor(Number(gib) * GIB)
  if (from) await worker.takes((bytes / GIB) * cluster.durations.copyPerGib)
  const volume = await allocate(cluster, place, bytes, from?.source ?? { kind: 'empty' })
  worker.print(`${drive.key}: successfully created disk '${volume.volid},size=${sizeText(bytes)}'`)
  return { key: drive.key, file: volume.volid, options: { ...options, size: sizeText(bytes) } }
}

function sourceOf(call: Call, vm: Vm, volid: string): { source: DiskSource; bytes: number } {
  const volume = call.cluster.storages.volume(volid, vm.node)
  if (!volume) throw died(`volume '${volid}' does not exist`)
  if (volume.content !== 'import') throw died(`${volid} has wrong type '${volume.content}' - needs to be 'images' or 'import'`)
  return { source: { kind: 'file', path: filePath(call.cluster.directory, volid) }, bytes: volume.disk.sizeBytes }
}

/** Where the stand-in keeps an uploaded file. */
export const filePath = (directory: string, volid: string): string => join(directory, 'files', volid.replaceAll(/[:/]/g, '_'))

function cloudInitDrive(call: Call, vm: Vm, drive: Drive): Drive {
  const storage = call.cluster.storages.enabled(storageOf(drive.file), vm.node)
  const name = `vm-${vm.vmid}-cloudinit`
  const volid =
    storage.type === 'dir' || storage.type === 'nfs' || storage.type === 'btrfs' ? `${storage.id}:${vm.vmid}/${name}.qcow2` : `${storage.id}:${name}`
  const disk = call.cluster.storages.newDisk('raw', CLOUD_INIT_BYTES)
  call.cluster.storages.put({
    volid,
    storage: storage.id,
    node: storage.shared ? null : vm.node,
    content: 'images',
    vmid: vm.vmid,
    disk,
    base: false,
    parent: null,
    createdAt: call.cluster.now(),
  })
  return { key: drive.key, file: volid, options: { ...drive.options, media: 'cdrom' } }
}
