/** Volumes made, copied and removed: each under its storage's lock, each with the disk behind it. */
import { died, textOf } from './answers.ts'
import type { Cluster } from './cluster.ts'
import type { Disk, DiskSource } from './guests.ts'
import { storageLock } from './locks.ts'
import { formatsOf, type Storage, storageOf, type Volume } from './storages.ts'
import { Vanished, type Worker } from './tasks.ts'

const GIB = 1024 ** 3

interface Place {
  readonly node: string
  readonly storage: string
  readonly vmid: number
  readonly format?: Disk['format'] | undefined
}

const withStorage = <T>(cluster: Cluster, node: string, storage: Storage, work: () => Promise<T>): Promise<T> =>
  cluster.locks.within(storageLock(node, storage.id, storage.shared), work)

/** Where the node keeps a volume of this storage. */
const ownerOf = (storage: Storage, node: string): string | null => (storage.shared ? null : node)

function formatFor(storage: Storage, wanted: Disk['format'] | undefined): Disk['format'] {
  const formats = formatsOf(storage)
  if (wanted && formats.includes(wanted)) return wanted
  return formats[0] ?? 'raw'
}

/** A new volume; an import names the file that it is made of. */
export async function allocate(cluster: Cluster, place: Place, sizeBytes: number, source: DiskSource): Promise<Volume> {
  const storage = cluster.storages.enabled(place.storage, place.node)
  const format = formatFor(storage, place.format)
  return withStorage(cluster, place.node, storage, async () => {
    if (cluster.storages.usedBytes(storage, place.node) + sizeBytes > storage.totalBytes) throw died(`no space left on storage '${storage.id}'`)
    const disk = cluster.storages.newDisk(format, sizeBytes)
    const volid = cluster.storages.freeName(storage, place.node, place.vmid, format, null)
    const volume = named(cluster, storage, place, volid, disk, null)
    await cluster.guests.createDisk(disk, source)
    return volume
  })
}

/** A linked clone holds the storage's lock while it is made; a full copy only while its place is allocated. */
export async function cloneVolume(
  cluster: Cluster,
  worker: Worker,
  from: Volume,
  snapshot: string | undefined,
  place: Place,
  how: 'linked' | 'full',
): Promise<Volume> {
  const storage = cluster.storages.enabled(how === 'linked' ? from.storage : place.storage, place.node)
  if (how === 'linked') {
    return withStorage(cluster, place.node, storage, async () => {
      await worker.takes(cluster.durations.linkedClone)
      const disk = cluster.storages.newDisk(
        storage.type === 'btrfs' ? from.disk.format : storage.type === 'dir' || storage.type === 'nfs' ? 'qcow2' : 'raw',
        from.disk.sizeBytes,
      )
      const parent = from.base ? from : null
      const volid = cluster.storages.freeName(storage, place.node, place.vmid, disk.format, parent)
      await cluster.guests.cloneDisk(from.disk, snapshot ?? null, disk, 'linked')
      const made = named(cluster, storage, place, volid, disk, parent?.volid ?? null)
      return snapshot === undefined ? made : cluster.storages.put({ ...made, origin: { volid: from.volid, snapshot } })
    })
  }
  const sizeGib = from.disk.sizeBytes / GIB
  const volume = await withStorage(cluster, place.node, storage, async () => {
    if (cluster.storages.usedBytes(storage, place.node) + from.disk.sizeBytes > storage.totalBytes) throw died(`no space left on storage '${storage.id}'`)
    const disk = cluster.storages.newDisk(formatFor(storage, place.format ?? from.disk.format), from.disk.sizeBytes)
    return named(cluster, storage, place, cluster.storages.freeName(storage, place.node, place.vmid, disk.format, null), disk, null)
  })
  try {
    await worker.takes(sizeGib * cluster.durations.copyPerGib)
    await cluster.guests.cloneDisk(from.disk, snapshot ?? null, volume.disk, 'full')
  } catch (error) {
    if (!(error instanceof Vanished)) cluster.storages.remove(volume)
    throw error
  }
  worker.print(`transferred ${sizeGib.toFixed(1)} GiB of ${sizeGib.toFixed(1)} GiB (100.00%)`)
  return volume
}

export async function freeVolume(cluster: Cluster, node: string, volid: string): Promise<void> {
  const storage = cluster.storages.get(storageOf(volid))
  await withStorage(cluster, node, storage, async () => {
    const volume = cluster.storages.volume(volid, node)
    if (!volume) return
    if (volume.base && cluster.storages.children(volume).length > 0)
      throw died(`base volume '${volid.slice(storage.id.length + 1)}' is still in use by linked clones`)
    cluster.storages.unprotected(volume)
    if (volume.content === 'images') await cluster.guests.deleteDisk(volume.disk)
    for (const disk of Object.values(volume.backup?.disks ?? {})) await cluster.guests.deleteDisk(disk)
    cluster.storages.remove(volume)
  })
}

/** Cleaning up after a failure goes on whatever fails: what could not be removed is left, and the log says so. */
export async function freeOrLeave(cluster: Cluster, node: string, volids: readonly string[], worker: Worker): Promise<void> {
  for (const volid of volids) {
    try {
      await freeVolume(cluster, node, volid)
    } catch (error) {
      worker.print(textOf(error))
    }
  }
}

function named(cluster: Cluster, storage: Storage, place: Place, volid: string, disk: Disk, parent: string | null): Volume {
  return cluster.storages.put({
    volid,
    storage: storage.id,
    node: ownerOf(storage, place.node),
    content: 'images',
    vmid: place.vmid,
    disk,
    base: false,
    parent,
    createdAt: cluster.now(),
  })
}

/** The formats that we make; others fall back to the storage's own. */
export const formatNamed = (text: string | undefined): Disk['format'] | undefined => (text === 'raw' || text === 'qcow2' ? text : undefined)

/** `32G` in bytes. */
export function bytesOf(text: string): number {
  const [, number = '0', unit = ''] = /^\+?(\d+(?:\.\d+)?)([KMGT]?)(?:iB)?$/.exec(text) ?? []
  return Math.floor(Number(number) * 1024 ** ['', 'K', 'M', 'G', 'T'].indexOf(unit))
}

/** As Proxmox writes sizes into a configuration. */
export function sizeText(bytes: number): string {
  let [value, unit] = [bytes, 0]
  while (unit < 4 && value > 0 && value % 1024 === 0) [value, unit] = [value / 1024, unit + 1]
  return `${value}${['', 'K', 'M', 'G', 'T'][unit]}`
}
