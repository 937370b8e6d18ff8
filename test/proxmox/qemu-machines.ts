/** Real VMs as made from our template: its disk is imported as an administrator imports a cloud image, and our guest starts with its system. */
import { mkdir, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Machines, type OpenMachines, placesOf } from './machines.ts'
import { codeDisk } from './qemu/code-disk.ts'
import { DISK_BYTES, type VmImage, vmImage } from './qemu/image.ts'
import { QemuGuests } from './qemu-guests.ts'
import type { ProxmoxStandIn } from './stand-in.ts'
import { filePath } from './vm-drives.ts'

const FILE = 'local:import/system.qcow2'

export const openQemuMachines: OpenMachines = async ({ root, gate, agent }): Promise<Machines> => {
  const image = await vmImage()
  await mkdir(root, { recursive: true })
  const guests = new QemuGuests({
    root,
    image,
    codeDisk: await codeDisk(join(root, 'code'), agent),
    reachable: () => placesOf(gate),
  })
  return {
    guests,
    templateDisk: async (pve, node, storage) => {
      await plantImage(pve, node, image)
      return `${storage}:0,import-from=${FILE}`
    },
  }
}

/** As if it had been uploaded: it is large, and nobody writes to it. */
async function plantImage({ cluster }: ProxmoxStandIn, node: string, image: VmImage): Promise<void> {
  const path = filePath(cluster.directory, FILE)
  await mkdir(dirname(path), { recursive: true })
  await symlink(image.disk, path).catch((error: NodeJS.ErrnoException) => {
    // Another node has it already.
    if (error.code !== 'EEXIST') throw error
  })
  cluster.storages.put({
    volid: FILE,
    storage: 'local',
    node,
    content: 'import',
    vmid: null,
    disk: { key: FILE, sizeBytes: DISK_BYTES, format: 'qcow2' },
    base: false,
    parent: null,
    createdAt: cluster.now(),
  })
}
