/** POST …/clone: linked or full, of a VM as it is or of a snapshot, with Proxmox's early checks, locks and cleaning up. */
import { randomUUID } from 'node:crypto'
import { badParameters, died, forbidden, textOf } from './answers.ts'
import { type Call, vmOf } from './call.ts'
import type { Vm } from './cluster.ts'
import { vmLock } from './locks.ts'
import type { Volume } from './storages.ts'
import { Vanished, type Worker } from './tasks.ts'
import { type Config, type Drive, disksOf, drivesOf, isCloudInit, newSmbios, nicKeys, printDrive, withNewMac } from './vm-config.ts'
import { createDrives } from './vm-drives.ts'
import { checkBridges } from './vm-permissions.ts'
import { cloneVolume, formatNamed, freeOrLeave } from './volumes.ts'

interface Plan {
  readonly source: Vm
  readonly config: Config
  readonly full: boolean
  readonly drives: readonly { readonly drive: Drive; readonly volume: Volume; readonly full: boolean }[]
}

export async function cloneVm(call: Call): Promise<string> {
  const { cluster, node, parameters } = call
  const newid = Number(parameters.required('newid'))
  const source = vmOf(call)
  const running = source.pid !== null
  plan(call, newid, running)
  return call.start('qmclone', source.vmid, (worker) =>
    // A template is shared by its clones; a running VM is not.
    cluster.locks.within(
      vmLock(node, source.vmid),
      () => cluster.locks.within(vmLock(node, newid), () => clone(call, newid, plan(call, newid, running), worker), { timeoutS: 1 }),
      {
        shared: !running,
        timeoutS: 1,
      },
    ),
  )
}

/** Every check, made when the request comes and again when the locks are held. */
function plan(call: Call, newid: number, running: boolean): Plan {
  const { cluster, access, who, node, parameters } = call
  const [pool, storage, snapshot, target] = ['pool', 'storage', 'snapname', 'target'].map((name) => parameters.text(name))
  if (pool !== undefined && !cluster.pools.has(pool)) throw forbidden(`pool '${pool}' does not exist`)
  const elsewhere = target !== undefined && target !== node ? cluster.node(target).name : undefined
  if (storage !== undefined) {
    const wanted = cluster.storages.enabled(storage, node)
    if (!wanted.content.includes('images')) throw badParameters({ storage: `storage '${storage}' does not support vm images` })
    if (elsewhere !== undefined) cluster.storages.enabled(storage, elsewhere)
    if (elsewhere !== undefined && !wanted.shared) throw died(`can't clone to non-shared storage '${storage}'`)
  }
  cluster.needsQuorum()
  const source = vmOf(call)
  cluster.unlocked(source)
  if ((source.pid !== null) !== running) throw died('unexpected state change')
  const config = snapshot === undefined ? source.config : source.snapshots.get(snapshot)?.config
  if (!config) throw died(`snapshot '${snapshot}' does not exist`)
  const full = parameters.text('full') === undefined ? source.config['template'] !== '1' : parameters.flag('full')
  for (const name of ['storage', 'format']) if (!full && parameters.text(name) !== undefined) throw died(`parameter '${name}' not allowed for linked clones`)
  const disks = disksOf(config)
  for (const disk of disks) access.check(who, `/storage/${storage ?? disk.file.split(':')[0]}`, ['Datastore.AllocateSpace'])
  checkBridges(call, config)
  const shared = disks.every((disk) => cluster.storages.get(disk.file.split(':')[0] ?? '').shared)
  if (elsewhere !== undefined && !shared) throw died(`can't clone VM to node '${elsewhere}' (VM uses local storage)`)
  const taken = cluster.vms.get(newid)
  if (taken?.node === node) throw died(`unable to create VM ${newid}: config file already exists`)
  return { source, config, full, drives: disks.map((drive) => clonable(call, source, drive, snapshot, full)) }
}

function clonable(call: Call, source: Vm, drive: Drive, snapshot: string | undefined, full: boolean): { drive: Drive; volume: Volume; full: boolean } {
  const volume = call.cluster.storages.volume(drive.file, source.node)
  const what = `clone feature is not supported for${snapshot === undefined ? '' : ' a snapshot of'} '${drive.file}' (${drive.key})`
  const whole = full || drive.key === 'tpmstate0'
  if (!volume || !call.cluster.storages.can(whole ? 'copy' : 'clone', volume, snapshot)) throw died(`${whole ? 'Full' : 'Linked'} ${what}`)
  return { drive, volume, full: whole }
}

async function clone(call: Call, newid: number, { source, config, drives }: Plan, worker: Worker): Promise<void> {
  const { cluster, node, parameters } = call
  worker.print(`creating a clone of VM ${source.vmid} with ID ${newid}`)
  // Nobody looks at other nodes before; there it is the cluster's file system that refuses the second file.
  if (cluster.vms.has(newid)) throw died(`unable to open file '/etc/pve/nodes/${node}/qemu-server/${newid}.conf.tmp.${cluster.nextPid()}' - File exists`)
  const vm = cluster.putVm(newid, node, {}, 'clone')
  vm.firewall = structuredClone(source.firewall)
  const made: string[] = []
  try {
    const copied = copiedConfig(source, config, parameters.text('name'), parameters.text('description'))
    for (const { drive, volume, full } of drives) {
      const storage = parameters.text('storage') ?? volume.storage
      const format = parameters.text('format')
      worker.print(`create ${full ? 'full' : 'linked'} clone of drive ${drive.key} (${drive.file})`)
      const place = { node, storage, vmid: newid, format: formatNamed(format) }
      const copy = await cloneVolume(cluster, worker, volume, parameters.text('snapname'), place, full ? 'full' : 'linked')
      made.push(copy.volid)
      copied[drive.key] = printDrive({ ...drive, file: copy.volid })
    }
    for (const drive of drivesOf(config).filter(isCloudInit))
      Object.assign(copied, await createDrives(call, vm, { [drive.key]: `${parameters.text('storage') ?? drive.file.split(':')[0]}:cloudinit` }, worker))
    vm.config = copied
    vm.lock = null
    vm.node = parameters.text('target') ?? node
    const pool = parameters.text('pool')
    if (pool !== undefined) cluster.pools.get(pool)?.vms.add(newid)
  } catch (error) {
    if (error instanceof Vanished) throw error
    await freeOrLeave(cluster, node, made, worker)
    cluster.vms.delete(newid)
    throw died(`clone failed: ${textOf(error)}`)
  }
}

function copiedConfig(source: Vm, config: Readonly<Config>, name: string | undefined, description: string | undefined): Config {
  const copied: Config = Object.fromEntries(Object.entries(config).filter(([key]) => key !== 'template' && !/^unused\d+$/.test(key)))
  for (const key of nicKeys(copied)) copied[key] = withNewMac(copied[key] ?? '')
  copied['smbios1'] = newSmbios(copied['smbios1'])
  if (copied['vmgenid'] !== undefined) copied['vmgenid'] = randomUUID()
  copied['name'] = name ?? `Copy-of-VM-${config['name'] ?? source.vmid}`
  if (description !== undefined) copied['description'] = description
  return copied
}
