/** POST /nodes/{node}/qemu: a new VM, or one out of a backup. */
import { randomUUID } from 'node:crypto'
import { died, forbidden, textOf } from './answers.ts'
import { type Call, vmidOf } from './call.ts'
import type { Vm } from './cluster.ts'
import { vmLock } from './locks.ts'
import type { Worker } from './tasks.ts'
import { Vanished } from './tasks.ts'
import {
  type Config,
  disksOf,
  drivesOf,
  isCdrom,
  isCloudInit,
  isDrive,
  newSmbios,
  nicKeys,
  parseDrive,
  printDrive,
  uniqueTags,
  withMac,
  withNewMac,
  withoutAlias,
} from './vm-config.ts'
import { createDrives } from './vm-drives.ts'
import { checkBridges, checkDevices, checkDriveStorages, checkDrives, checkOptions, checkSshKeys, checkVolume } from './vm-permissions.ts'
import { startsLater } from './vm-power.ts'
import { cloneVolume } from './volumes.ts'

const NO_OPTIONS = ['node', 'vmid', 'archive', 'bwlimit', 'force', 'pool', 'start', 'ha-managed', 'storage', 'unique', 'live-restore', 'import-working-storage']

export async function createVm(call: Call): Promise<string> {
  const { cluster, access, who, parameters, node } = call
  const vmid = vmidOf(call)
  const pool = parameters.text('pool')
  const storage = parameters.text('storage')
  checkSshKeys(parameters.text('sshkeys'))
  cluster.needsQuorum()
  if (pool !== undefined && !cluster.pools.has(pool)) throw forbidden(`pool '${pool}' does not exist`)
  if (storage !== undefined) access.check(who, `/storage/${storage}`, ['Datastore.AllocateSpace'])
  if (parameters.flag('ha-managed')) access.check(who, '/', ['Sys.Console'])
  if (parameters.flag('start')) access.checkVm(who, vmid, pool, ['VM.PowerMgmt'])
  if (!access.may(who, `/vms/${vmid}`, ['VM.Allocate']) && !(pool !== undefined && access.may(who, `/pool/${pool}`, ['VM.Allocate']))) throw forbidden()
  const archive = parameters.text('archive')
  const wanted = withoutAlias(parameters.without(...NO_OPTIONS))
  if (archive !== undefined) checkVolume(call, archive, vmid)
  checkDriveStorages(call, vmid, wanted)
  checkOptions(call, vmid, pool, Object.keys(wanted))
  checkDevices(call, vmid, pool, wanted)
  checkDrives(call, vmid, pool, wanted)
  checkBridges(call, wanted)
  const failed = archive === undefined ? `unable to create VM ${vmid} -` : `unable to restore VM ${vmid} -`
  const taken = cluster.vms.get(vmid)
  if (taken) throw died(`${failed} VM ${vmid} already exists on node '${taken.node}'`)
  const vm = cluster.putVm(vmid, node, {}, 'create')
  return call.start(archive === undefined ? 'qmcreate' : 'qmrestore', vmid, async (worker) => {
    try {
      await cluster.locks.within(
        vmLock(node, vmid),
        () => (archive === undefined ? fill(call, vm, wanted, worker) : restore(call, vm, archive, wanted, worker)),
        { timeoutS: 1 },
      )
    } catch (error) {
      if (!(error instanceof Vanished)) cluster.vms.delete(vmid)
      throw error instanceof Vanished ? error : died(`${failed} ${textOf(error)}`)
    }
    if (pool !== undefined) cluster.pools.get(pool)?.vms.add(vmid)
    if (parameters.flag('ha-managed')) vm.ha = { state: parameters.flag('start') ? 'started' : 'stopped' }
    if (parameters.flag('start')) {
      worker.print('Execute autostart')
      startsLater(call, vm)
    }
  })
}

async function fill(call: Call, vm: Vm, wanted: Config, worker: Worker): Promise<void> {
  await worker.takes(call.cluster.durations.other)
  const drives = await createDrives(call, vm, wanted, worker)
  const config: Config = { ...wanted, ...drives, meta: `creation-qemu=10.1.2,ctime=${call.cluster.now()}` }
  for (const key of nicKeys(config)) config[key] = withMac(config[key] ?? '')
  config['smbios1'] ??= newSmbios(undefined)
  config['vmgenid'] ??= randomUUID()
  config['boot'] ??= `order=${bootOrder(config).join(';')}`
  if (config['tags'] !== undefined) config['tags'] = uniqueTags(config['tags'])
  vm.config = config
  vm.lock = null
}

/** The first disk, the first CD, the first card. */
function bootOrder(config: Config): string[] {
  const [disk] = disksOf(config)
  const cd = drivesOf(config).find((drive) => isCdrom(drive) && !isCloudInit(drive))
  const [nic] = nicKeys(config)
  return [disk?.key, cd?.key, nic].filter((key) => key !== undefined)
}

async function restore(call: Call, vm: Vm, archive: string, wanted: Config, worker: Worker): Promise<void> {
  const { cluster, parameters } = call
  const backup = cluster.storages.volume(archive, vm.node)
  if (!backup?.backup) throw died(`volume '${archive}' does not exist`)
  const config: Config = { ...backup.backup.config, ...wanted }
  for (const drive of disksOf(backup.backup.config)) {
    const disk = backup.backup.disks[drive.key]
    if (!disk) continue
    const target = parameters.text('storage') ?? drive.file.split(':')[0] ?? ''
    const copied = await cloneVolume(cluster, worker, { ...backup, disk }, undefined, { node: vm.node, storage: target, vmid: vm.vmid }, 'full')
    config[drive.key] = printDrive({ ...parseDrive(drive.key, config[drive.key] ?? ''), file: copied.volid })
  }
  // Drives that were not in the backup cannot come back.
  for (const key of Object.keys(config).filter(isDrive)) if (!cluster.storages.volume(parseDrive(key, config[key] ?? '').file, vm.node)) delete config[key]
  if (parameters.flag('unique')) for (const key of nicKeys(config)) config[key] = withNewMac(config[key] ?? '')
  vm.config = config
  vm.lock = null
}
