/**
 * What each type of Proxmox's storages can do with the disks of VMs, and so what a checkpoint and a fork are there. After the tables `volume_has_feature` in
 * the plugins of Proxmox's package libpve-storage-perl; whether one volume can is asked of Proxmox itself (`GET …/feature`).
 */

export interface StorageAbilities {
  /** Whether disks of VMs lie there at all. */
  readonly images: boolean
  /** `newest`: only the newest one can be gone back to. */
  readonly snapshots: 'any' | 'newest' | 'none'
  /** A clone of a template that shares its blocks. */
  readonly linkedFromTemplate: boolean
  /** What a clone of a snapshot can be; a full one copies the whole disk. */
  readonly cloneOfSnapshot: 'linked' | 'full' | 'none'
  /** A snapshot that linked clones grew out of cannot be dropped, nor its VM removed, while they live. */
  readonly clonesHoldParent: boolean
  /** One that every node sees by its nature. */
  readonly shared: boolean
  /** The format of a disk with these abilities. */
  readonly format: 'raw' | 'qcow2' | null
}

const NOTHING: StorageAbilities = {
  images: false,
  snapshots: 'none',
  linkedFromTemplate: false,
  cloneOfSnapshot: 'none',
  clonesHoldParent: false,
  shared: false,
  format: null,
}
const QCOW2: StorageAbilities = {
  images: true,
  snapshots: 'any',
  linkedFromTemplate: true,
  cloneOfSnapshot: 'full',
  clonesHoldParent: false,
  shared: false,
  format: 'qcow2',
}
const ZFS: StorageAbilities = {
  images: true,
  snapshots: 'newest',
  linkedFromTemplate: true,
  cloneOfSnapshot: 'none',
  clonesHoldParent: false,
  shared: false,
  format: 'raw',
}
const THIN: StorageAbilities = { ...ZFS, snapshots: 'any', cloneOfSnapshot: 'linked' }

export const STORAGE_ABILITIES: Readonly<Record<string, StorageAbilities>> = {
  lvmthin: THIN,
  rbd: { ...THIN, clonesHoldParent: true, shared: true },
  btrfs: THIN,
  zfspool: ZFS,
  zfs: { ...ZFS, shared: true },
  dir: QCOW2,
  nfs: { ...QCOW2, shared: true },
  cifs: { ...QCOW2, shared: true },
  // Thick: Proxmox 9's snapshots as volume chains are a preview, off unless the storage says otherwise.
  lvm: { ...NOTHING, images: true, format: 'raw' },
  // Whole units of a target, which Proxmox neither makes nor copies.
  iscsi: { ...NOTHING, shared: true },
  iscsidirect: { ...NOTHING, shared: true },
  cephfs: { ...NOTHING, shared: true },
  pbs: { ...NOTHING, shared: true },
  esxi: { ...NOTHING, shared: true },
}

/** Null for a type that this version does not know. */
export const abilitiesOf = (type: string): StorageAbilities | null => (Object.hasOwn(STORAGE_ABILITIES, type) ? (STORAGE_ABILITIES[type] ?? null) : null)

export interface ForkWay {
  /** `snapshot`: a linked clone of the checkpoint's own snapshot. `store`: a linked clone of the template, and the tree out of the checkpoint store. `none`: no machine at all. */
  readonly way: 'snapshot' | 'store' | 'none'
  /** What a fork does there, in a sentence. */
  readonly words: string
  readonly why: string
}

/** How a fork goes on a storage of this type; a full clone of a snapshot is left out, because it copies the whole disk where the store brings the tree alone. */
export function forkWay(type: string): ForkWay {
  const abilities = abilitiesOf(type) ?? NOTHING
  if (!abilities.images) return { way: 'none', words: 'No machine can lie there.', why: `${type} keeps no disks of VMs that Proxmox could make` }
  if (!abilities.linkedFromTemplate)
    return { way: 'none', words: 'No machine can be made there.', why: `${type} copies a template only whole, and machines share its blocks` }
  if (abilities.cloneOfSnapshot === 'linked') {
    return {
      way: 'snapshot',
      words: 'A fork is a linked clone of the checkpoint’s snapshot, which takes as long for a large machine as for a small one.',
      why: `${type} clones a snapshot without copying it`,
    }
  }
  return {
    way: 'store',
    words: 'A fork is a linked clone of the template, into which the tree comes from the checkpoint store; it takes longer the more files there are.',
    why:
      abilities.cloneOfSnapshot === 'full'
        ? `${type} clones a snapshot only by copying the whole disk`
        : `Proxmox clones no snapshot on ${type}, neither linked nor full`,
  }
}
