/** What each step of a build does, once it is known that it comes next. */
import { AutovibeError } from '@autovibe/contract'
import { backoffMs } from '@autovibe/core/proxmox/backoff.ts'
import { type BuildStep, buildNotes, INSTALLED_HOST_NAME, INSTALLED_TAG, INSTALLING_TAG, TEMPLATE_TAG } from '@autovibe/core/proxmox/template-build.ts'
import { isBaseDisk } from '@autovibe/core/proxmox/vm-config.ts'
import { isProxmox } from '../vms.ts'
import { buildFiles, settledCard, tagsOf } from './look.ts'
import { type Build, buildCommand, task, taskNamed } from './site.ts'

type Act = (build: Build) => Promise<void>

export const STEPS: Readonly<Record<Exclude<BuildStep, 'done'>, { readonly says: (build: Build) => string; readonly act: Act }>> = {
  image: { says: ({ plan }) => `${plan.node} fetches ${plan.image.url}`, act: image },
  seed: { says: ({ plan }) => `The disc that it installs itself from goes to ${plan.imageStorage}`, act: seed },
  vm: { says: ({ plan }) => `VM ${plan.vmid} is made on ${plan.storage}`, act: createVm },
  disk: { says: ({ plan }) => `Its disk becomes ${plan.diskBytes / GIB} GiB`, act: resize },
  start: { says: () => 'It starts', act: ({ plan, ...build }) => task({ plan, ...build }, 'POST /nodes/{node}/qemu/{vmid}/status/start', at(plan)) },
  mark: { says: () => 'It is noted that it was started', act: (build) => mark(build, [INSTALLING_TAG]) },
  install: { says: () => 'It installs itself, which takes some minutes', act: install },
  off: {
    says: () => 'All is installed, and it is turned off',
    act: ({ plan, patience, ...build }) =>
      task({ plan, patience, ...build }, 'POST /nodes/{node}/qemu/{vmid}/status/shutdown', { ...at(plan), timeout: OFF_S, forceStop: true }),
  },
  settle: { says: ({ plan }) => `It is plugged into ${plan.machinesBridge}, with a drive for cloud-init instead of the disc`, act: settle },
  convert: { says: () => 'It becomes a template', act: ({ plan, ...build }) => task({ plan, ...build }, 'POST /nodes/{node}/qemu/{vmid}/template', at(plan)) },
  tidy: { says: ({ plan }) => `What is left on ${plan.imageStorage} is removed`, act: tidy },
}

const GIB = 1024 ** 3
/** All is on its disk by then: one that takes longer is ended. */
const OFF_S = 120
const at = ({ node, vmid }: Build['plan']): { node: string; vmid: number } => ({ node, vmid })

async function image(build: Build): Promise<void> {
  const { node, imageStorage: storage, names, image, seed } = build.plan
  // A host that cannot make the disc says so before an image is fetched in vain.
  await seed.disc(build.signal)
  await task(build, 'POST /nodes/{node}/storage/{storage}/download-url', {
    node,
    storage,
    content: 'import',
    filename: names.image,
    url: image.url,
    checksum: image.sha256,
    'checksum-algorithm': 'sha256',
  })
}

async function seed(build: Build): Promise<void> {
  const { client, plan, signal } = build
  const { node, imageStorage: storage, names } = plan
  const file = await plan.seed.disc(signal)
  // Half of one would be in the way of its name.
  await removeFiles(build, (volid) => volid === `${storage}:iso/${names.seed}`)
  await taskNamed(build, await client.upload({ node, storage, content: 'iso', filename: names.seed, file }, { signal }))
}

function createVm(build: Build): Promise<void> {
  const { plan } = build
  return task(build, 'POST /nodes/{node}/qemu', {
    ...at(plan),
    name: plan.names.vm,
    pool: plan.pool,
    tags: TEMPLATE_TAG,
    description: buildNotes(plan.image.url, plan.image.sha256),
    ostype: 'l26',
    cpu: 'x86-64-v2-AES',
    cores: 2,
    memory: '4096',
    agent: 'enabled=1',
    scsihw: 'virtio-scsi-single',
    scsi0: `${plan.storage}:0,import-from=${plan.imageStorage}:import/${plan.names.image},discard=on,iothread=1`,
    ide2: `${plan.imageStorage}:iso/${plan.names.seed},media=cdrom`,
    boot: 'order=scsi0',
    net0: `virtio,bridge=${plan.buildBridge}`,
    serial0: 'socket',
    vga: 'serial0',
  })
}

function resize(build: Build): Promise<void> {
  return task(build, 'PUT /nodes/{node}/qemu/{vmid}/resize', { ...at(build.plan), disk: 'scsi0', size: `${build.plan.diskBytes / GIB}G` })
}

/** Marks how far it is; without marks it is done. What others have tagged it with stays. */
async function mark(build: Build, marks: readonly string[]): Promise<void> {
  const { client, plan, signal } = build
  const seen = tagsOf(await client.call('GET /nodes/{node}/qemu/{vmid}/config', at(plan), { signal })).filter(
    (tag) => tag !== INSTALLING_TAG && tag !== INSTALLED_TAG,
  )
  const tags = [...new Set([...seen, TEMPLATE_TAG, ...marks])]
  await task(build, 'POST /nodes/{node}/qemu/{vmid}/config', { ...at(plan), tags: tags.join(';') })
}

async function install(build: Build): Promise<void> {
  const { client, plan, patience, signal, tell } = build
  const startedMs = client.clock.nowMs()
  // Ends when the VM says that it is done, is off, stands still, or this command has waited long enough; the next one waits anew.
  for (let attempt = 0; ; attempt += 1) {
    const { status, qmpstatus, uptime = 0 } = await client.call('GET /nodes/{node}/qemu/{vmid}/status/current', at(plan), { signal })
    if (status === 'stopped') return
    if (await saysInstalled(build)) return mark(build, [INSTALLING_TAG, INSTALLED_TAG])
    if (qmpstatus === 'io-error' || qmpstatus === 'internal-error')
      throw new AutovibeError('substrate.failed', `VM ${plan.vmid} stands still (${qmpstatus}) before it has installed itself.`, {
        fix: `See whether ${plan.storage} has room (pvesm status), then begin again: ${buildCommand(plan, ' --abandon')}`,
      })
    const minutes = Math.floor(uptime / 60)
    if (client.clock.nowMs() - startedMs >= patience.installMs)
      throw new AutovibeError('operation.deadline', `VM ${plan.vmid} is still on after ${minutes} minutes, and has not said yet that all is installed.`, {
        fix: `On ${plan.node}, see what it says: qm terminal ${plan.vmid} (mostly a mirror that ${plan.buildBridge} does not lead to). To wait longer, the same command again; to begin anew: ${buildCommand(plan, ' --abandon')}`,
      })
    tell('install', `It installs itself, for ${minutes} minutes now`)
    await client.clock.pause(backoffMs(client.limits.poll, attempt, client.clock.chance()), signal)
  }
}

/** Nothing is installed yet where no agent answers: it is among what is. */
async function saysInstalled({ client, plan, signal }: Build): Promise<boolean> {
  try {
    const { result } = await client.call('GET /nodes/{node}/qemu/{vmid}/agent/get-host-name', at(plan), { signal })
    return result['host-name'] === INSTALLED_HOST_NAME
  } catch (error) {
    if (!isProxmox(error, 'agent not ready', 'timed out')) throw error
    return false
  }
}

/** Its clones get network and name by Proxmox's own cloud-init, upgrade nothing at their first boot, and are never on the bridge of the making. */
async function settle(build: Build): Promise<void> {
  const { plan } = build
  await task(build, 'POST /nodes/{node}/qemu/{vmid}/config', {
    ...at(plan),
    ide2: `${plan.storage}:cloudinit`,
    net0: settledCard(plan),
    ipconfig0: 'ip=dhcp',
    ciupgrade: false,
  })
}

async function tidy(build: Build): Promise<void> {
  const { client, plan, signal } = build
  // Proxmox notes that it is a template before it makes its disk one. Where the storage makes no such disks, this changes nothing.
  const { scsi0 = '' } = await client.call('GET /nodes/{node}/qemu/{vmid}/config', at(plan), { signal })
  if (!isBaseDisk(scsi0)) await task(build, 'POST /nodes/{node}/qemu/{vmid}/template', { ...at(plan), disk: 'scsi0' })
  await removeFiles(build, () => true)
  await mark(build, [])
}

/** Files of this build alone; answers their names. */
export async function removeFiles(build: Build, which: (volid: string) => boolean): Promise<string[]> {
  const { node, imageStorage: storage } = build.plan
  const files = (await buildFiles(build)).filter(({ volid }) => which(volid))
  for (const { volid } of files) await task(build, 'DELETE /nodes/{node}/storage/{storage}/content/{volume}', { node, storage, volume: volid })
  return files.map(({ volid }) => volid)
}
