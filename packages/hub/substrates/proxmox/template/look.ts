/** What of a build is on the cluster already. */
import { AutovibeError } from '@autovibe/contract'
import { isBuildFile, type SeenBuild, type SeenVm, sumOfNotes } from '@autovibe/core/proxmox/template-build.ts'
import { mainDisk, type VmConfig } from '@autovibe/core/proxmox/vm-config.ts'
import { isFree, isProxmox } from '../vms.ts'
import type { Plan } from './plan.ts'
import type { Build } from './site.ts'

export async function look(build: Build): Promise<SeenBuild> {
  const { plan, signal } = build
  const vm = await seenVm(build)
  const files = await buildFiles(build)
  const at = (kind: string, name: string) => files.find(({ volid }) => volid === `${plan.imageStorage}:${kind}/${name}`)
  const image = at('import', plan.names.image)
  const seed = at('iso', plan.names.seed)
  // Until a VM has it, one that was cut off half-way must not be taken for the whole.
  const isWhole = seed !== undefined && (vm !== null || seed.size === (await plan.seed.disc(signal)).sizeBytes)
  return {
    vm,
    image: image !== undefined,
    seed: isWhole,
    leftovers: files.length,
  }
}

/** The files on the storage of images that a build of this number has put there. */
export async function buildFiles({ client, plan, signal }: Pick<Build, 'client' | 'plan' | 'signal'>): Promise<readonly { volid: string; size: number }[]> {
  const { node, imageStorage: storage, vmid } = plan
  const listed = await Promise.all(
    ['import', 'iso'].map((content) => client.call('GET /nodes/{node}/storage/{storage}/content', { node, storage, content }, { signal })),
  )
  return listed.flat().filter(({ volid }) => isBuildFile(volid, storage, vmid))
}

export const tagsOf = (config: VmConfig): string[] => (config['tags'] ?? '').split(/[;, ]+/).filter((tag) => tag !== '')

/** Null where the number is free. */
export async function seenVm(build: Build): Promise<SeenVm | null> {
  const { client, plan, signal } = build
  const { node, vmid } = plan
  try {
    const config = await client.call('GET /nodes/{node}/qemu/{vmid}/config', { node, vmid }, { signal })
    const { status } = await client.call('GET /nodes/{node}/qemu/{vmid}/status/current', { node, vmid }, { signal })
    return {
      name: config['name'],
      tags: tagsOf(config),
      isTemplate: config['template'] === '1',
      isRunning: status !== 'stopped',
      lock: config['lock'],
      imageSha256: sumOfNotes(config['description']),
      diskBytes: mainDisk(config)?.sizeBytes ?? 0,
      isSettled: isSettled(config, plan),
    }
  } catch (error) {
    if (!isProxmox(error, 'absent', 'forbidden')) throw error
    // With a VM go the rights on its number, so that one that is not there may be forbidden to be seen.
    if (await isFree({ client }, vmid, signal)) return null
    if (error.kind === 'forbidden') throw error
  }
  throw new AutovibeError('conflict.state', `The number ${vmid} is taken by a VM on another node than ${node}.`, {
    fix: `Make it there, or give it another number (--vmid), for which its token needs other rights: autovibe substrate grants ${plan.substrate} --for template --vmid VMID …`,
  })
}

export const settledCard = ({ machinesBridge }: Plan): string => `virtio,bridge=${machinesBridge},firewall=1`

const isSettled = (config: VmConfig, { machinesBridge }: Plan): boolean =>
  /cloudinit/.test(config['ide2'] ?? '') &&
  config['ciupgrade'] === '0' &&
  config['ipconfig0'] === 'ip=dhcp' &&
  (config['net0'] ?? '').split(',').includes(`bridge=${machinesBridge}`) &&
  (config['net0'] ?? '').split(',').includes('firewall=1')
