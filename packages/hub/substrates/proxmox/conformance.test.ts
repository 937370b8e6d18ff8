import { STORAGE_THEMES, substrateConformance } from '../conformance.ts'
import { ProxmoxGround } from './test-ground.ts'

// Machines come from checkpoints as clones of a snapshot on the same node, as clones on any node, or out of the store.
substrateConformance('proxmox on LVM-thin', () => ProxmoxGround.make({ storage: 'lvmthin', nodes: 2 }))
substrateConformance('proxmox on RBD', () => ProxmoxGround.make({ storage: 'rbd', nodes: 3 }), STORAGE_THEMES)
substrateConformance('proxmox on ZFS', () => ProxmoxGround.make({ storage: 'zfspool' }), STORAGE_THEMES)
