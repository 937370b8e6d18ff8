/** Storages and their volumes: what each kind can do, how it names things, and the refusals of a storage that is not there. */
import { died } from './answers.ts'
import type { Disk } from './guests.ts'

export type StorageType = 'dir' | 'nfs' | 'lvmthin' | 'lvm' | 'zfspool' | 'rbd' | 'btrfs' | 'pbs'
export type Content = 'images' | 'iso' | 'backup' | 'import' | 'vztmpl' | 'snippets'
type Feature = 'snapshot' | 'clone' | 'copy' | 'template'
/** What of a volume: a template's base, the volume as it is, or a snapshot of it. */
type Which = 'base' | 'current' | 'snap'
type Format = Disk['format']

interface Kind {
  readonly formats: readonly Format[]
  readonly fileBased: boolean
  /** Formats that can do it; absent is "cannot". */
  readonly can: Readonly<Record<Feature, Partial<Record<Which, readonly Format[]>>>>
}

const BOTH: readonly Format[] = ['qcow2', 'raw']
const RAW: readonly Format[] = ['raw']
const QCOW2: readonly Format[] = ['qcow2']
const DIRECTORY: Kind = {
  formats: ['qcow2', 'raw'],
  fileBased: true,
  can: { snapshot: { current: QCOW2, snap: QCOW2 }, clone: { base: BOTH }, copy: { base: BOTH, current: BOTH, snap: QCOW2 }, template: { current: BOTH } },
}
const THIN: Kind = {
  formats: RAW,
  fileBased: false,
  can: { snapshot: { current: RAW }, clone: { base: RAW, snap: RAW }, copy: { base: RAW, current: RAW, snap: RAW }, template: { current: RAW } },
}

const KINDS: Readonly<Record<StorageType, Kind>> = {
  dir: DIRECTORY,
  nfs: DIRECTORY,
  lvmthin: THIN,
  rbd: THIN,
  lvm: { formats: RAW, fileBased: false, can: { snapshot: {}, clone: {}, copy: { base: RAW, current: RAW }, template: {} } },
  zfspool: {
    formats: RAW,
    fileBased: false,
    can: { snapshot: { current: RAW, snap: RAW }, clone: { base: RAW }, copy: { base: RAW, current: RAW }, template: { current: RAW } },
  },
  btrfs: {
    formats: ['raw', 'qcow2'],
    fileBased: true,
    can: {
      snapshot: { current: BOTH, snap: BOTH },
      clone: { base: BOTH, current: RAW, snap: RAW },
      copy: { base: BOTH, current: BOTH, snap: BOTH },
      template: { current: BOTH },
    },
  },
  pbs: { formats: RAW, fileBased: false, can: { snapshot: {}, clone: {}, copy: {}, template: {} } },
}

export interface Volume {
  readonly volid: string
  readonly storage: string
  /** The only node that has it; null on shared storage. */
  readonly node: string | null
  readonly content: Content
  readonly vmid: number | null
  readonly disk: Disk
  readonly base: boolean
  /** The base volume of a linked clone. */
  readonly parent: string | null
  /** The snapshot that a linked clone grew out of. */
  readonly origin?: { readonly volid: string; readonly snapshot: string }
  readonly createdAt: number
  notes?: string
  /** Of a backup: nobody removes it, nor any rule. */
  protected?: boolean
  verification?: { readonly state: string; readonly upid: string }
  /** A backup's disks and configuration. */
  backup?: { readonly disks: Readonly<Record<string, Disk>>; readonly config: Readonly<Record<string, string>> }
}

export interface Storage {
  readonly id: string
  readonly type: StorageType
  readonly shared: boolean
  readonly content: readonly Content[]
  /** Null for every node. */
  readonly nodes: readonly string[] | null
  readonly totalBytes: number
  disabled: boolean
}

export const isFileBased = (storage: Storage): boolean => KINDS[storage.type].fileBased
export const formatsOf = (storage: Storage): readonly Format[] => KINDS[storage.type].formats

export class Storages {
  readonly #storages = new Map<string, Storage>()
  readonly #volumes = new Map<string, Volume>()
  #nextKey = 1

  get all(): Storage[] {
    return [...this.#storages.values()]
  }

  add(storage: Storage): void {
    this.#storages.set(storage.id, storage)
  }

  get(id: string): Storage {
    const storage = this.#storages.get(id)
    if (!storage) throw died(`storage '${id}' does not exist`)
    return storage
  }

  find(id: string): Storage | undefined {
    return this.#storages.get(id)
  }

  /** The storage, if it is there and enabled on the node. */
  enabled(id: string, node: string): Storage {
    const storage = this.get(id)
    if (storage.disabled) throw died(`storage '${id}' is disabled`)
    if (storage.nodes && !storage.nodes.includes(node)) throw died(`storage '${id}' is not available on node '${node}'`)
    return storage
  }

  /** Volumes as a node sees them. */
  volumes(storage: Storage, node: string): Volume[] {
    return [...this.#volumes.values()].filter((volume) => volume.storage === storage.id && (volume.node === null || volume.node === node))
  }

  volume(volid: string, node: string): Volume | undefined {
    return this.#volumes.get(placed(volid, null)) ?? this.#volumes.get(placed(volid, node))
  }

  /** Whether the storage can do it to this volume, or to a snapshot of it. */
  can(feature: Feature, volume: Volume, snapshot?: string): boolean {
    const which: Which = snapshot === undefined ? (volume.base ? 'base' : 'current') : 'snap'
    return KINDS[this.get(volume.storage).type].can[feature][which]?.includes(volume.disk.format) === true
  }

  newDisk(format: Format, sizeBytes: number): Disk {
    return { key: `disk-${this.#nextKey++}`, format, sizeBytes }
  }

  newKey(): string {
    return `memory-${this.#nextKey++}`
  }

  put(volume: Volume): Volume {
    this.#volumes.set(placed(volume.volid, volume.node), volume)
    return volume
  }

  /** Another name, size or place for a volume whose content stays. */
  replace(before: Volume, after: Volume): Volume {
    this.#volumes.delete(placed(before.volid, before.node))
    return this.put(after)
  }

  remove(volume: Volume): void {
    this.#volumes.delete(placed(volume.volid, volume.node))
  }

  /** Linked clones that still need this base. */
  children(volume: Volume): Volume[] {
    return [...this.#volumes.values()].filter((each) => each.parent === volume.volid && each.node === volume.node)
  }

  /** RBD protects a snapshot that clones grow out of, and with it its volume. */
  unprotected(volume: Volume, snapshot?: string): void {
    if (this.get(volume.storage).type !== 'rbd') return
    const child = [...this.#volumes.values()].find(
      (each) => each.origin?.volid === volume.volid && (snapshot === undefined || each.origin.snapshot === snapshot),
    )
    if (!child?.origin) return
    const name = volume.volid.split('/').at(-1)?.split(':').at(-1)
    throw died(`rbd unprotect ${name} snap '${child.origin.snapshot}' error: rbd: unprotecting snap failed: (16) Device or resource busy`)
  }

  usedBytes(storage: Storage, node: string): number {
    return this.volumes(storage, node).reduce((sum, volume) => sum + (volume.parent === null ? volume.disk.sizeBytes : 0), 0)
  }

  /** The first free `vm-<vmid>-disk-<n>`, as this kind of storage writes it. */
  freeName(storage: Storage, node: string, vmid: number, format: Format, parent: Volume | null): string {
    const taken = new Set(this.volumes(storage, node).map((volume) => volume.volid.split('/').at(-1)?.split(':').at(-1)))
    for (let number = 0; number < 1000; number += 1) {
      const plain = `vm-${vmid}-disk-${number}${isFileBased(storage) ? `.${format}` : ''}`
      if (taken.has(plain) || taken.has(`base-${plain.slice(3)}`)) continue
      const own = isFileBased(storage) ? `${vmid}/${plain}` : plain
      const below = parent !== null && storage.type !== 'lvmthin' ? `${parent.volid.slice(storage.id.length + 1)}/` : ''
      return `${storage.id}:${below}${own}`
    }
    throw died(`unable to allocate an image name for VM ${vmid} in storage '${storage.id}'`)
  }
}

const placed = (volid: string, node: string | null): string => `${node ?? '*'} ${volid}`
export const storageOf = (volid: string): string => volid.split(':')[0] ?? ''
/** The name that a volume has once its VM is a template. */
export const baseName = (volid: string): string => volid.replace(/vm-(\d+-disk-\d+(?:\.\w+)?)$/, 'base-$1')
