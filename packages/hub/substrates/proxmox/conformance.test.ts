import { substrateConformance } from '../conformance.ts'
import { ProxmoxGround } from './test-ground.ts'

// One storage for each way in which a machine comes from a checkpoint: a clone of its snapshot on the same node, the same on any node, and the store.
substrateConformance('proxmox on LVM-thin', () => ProxmoxGround.make({ storage: 'lvmthin', nodes: 2 }))
// substrateConformance('proxmox on RBD', () => ProxmoxGround.make({ storage: 'rbd', nodes: 3 }))
// substrateConformance('proxmox on ZFS', () => ProxmoxGround.make({ storage: 'zfspool' }))
