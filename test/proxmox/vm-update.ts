/** GET, PUT and POST …/config, resize and template: a VM's configuration changed, at once or when it next starts. */
import { badParameters, died, listOf } from './answers.ts'
import { applyPending, disksOfVm, networkOf } from './boot.ts'
import { type Call, type Endpoints, onlyRoot, vmOf } from './call.ts'
import type { Vm } from './cluster.ts'
import { vmLock } from './locks.ts'
import { baseName, storageOf } from './storages.ts'
import type { Worker } from './tasks.ts'
import {
  digestOf,
  disksOf,
  drivesOf,
  isCdrom,
  isDrive,
  memoryMib,
  nicKeys,
  parseDrive,
  printDrive,
  published,
  uniqueTags,
  withMac,
  withoutAlias,
} from './vm-config.ts'
import { createDrives } from './vm-drives.ts'
import { checkBridges, checkDevices, checkDriveStorages, checkDrives, checkOptions, checkSshKeys } from './vm-permissions.ts'
import { bytesOf, freeVolume, sizeText } from './volumes.ts'

const NO_OPTIONS = ['node', 'vmid', 'digest', 'background_delay', 'skip_cloud_init', 'import-working-storage', 'skiplock', 'delete', 'revert', 'force']
/** What a running guest takes without a restart. */
const LIVE =
  /^(?:name|onboot|startup|description|tags|protection|agent|hookscript|boot|bootdisk|lock|migrate_downtime|cicustom|cipassword|citype|ciuser|ciupgrade|nameserver|searchdomain|sshkeys|ipconfig\d+|net\d+|unused\d+|(?:ide|sata|scsi|virtio)\d+)$/

export const VM_UPDATE: Endpoints = {
  'GET /nodes/{node}/qemu/{vmid}/config': getConfig,
  'PUT /nodes/{node}/qemu/{vmid}/config': async (call) => void (await putConfig(call)),
  'POST /nodes/{node}/qemu/{vmid}/config': postConfig,
  'GET /nodes/{node}/qemu/{vmid}/pending': pending,
  'PUT /nodes/{node}/qemu/{vmid}/resize': resize,
  'POST /nodes/{node}/qemu/{vmid}/template': template,
}

function getConfig(call: Call): unknown {
  const vm = vmOf(call)
  const name = call.parameters.text('snapshot')
  const current = call.parameters.flag('current')
  if (name !== undefined && current)
    throw badParameters({ snapshot: "cannot use 'snapshot' parameter with 'current'", current: "cannot use 'snapshot' parameter with 'current'" })
  const config = name === undefined ? vm.config : vm.snapshots.get(name)?.config
  if (!config) throw died(`snapshot '${name}' does not exist`)
  const waiting = name === undefined && !current ? Object.entries(vm.pending) : []
  const shown = Object.fromEntries(
    [...Object.entries(config), ...waiting].filter((pair): pair is [string, string] => !waiting.some(([key, value]) => key === pair[0] && value === null)),
  )
  return {
    ...published(shown),
    digest: digestOf(vm.config),
    ...(vm.lock === null ? {} : { lock: vm.lock }),
    ...(vm.parent === null || name !== undefined ? {} : { parent: vm.parent }),
  }
}

function pending(call: Call): unknown {
  const vm = vmOf(call)
  const keys = [...new Set([...Object.keys(vm.config), ...Object.keys(vm.pending)])].sort()
  const shown = published(vm.config)
  return keys.map((key) => {
    const waiting = vm.pending[key]
    return {
      key,
      ...(vm.config[key] === undefined ? {} : { value: String(shown[key]) }),
      ...(waiting === undefined ? {} : waiting === null ? { delete: 1 } : { pending: waiting }),
    }
  })
}

async function putConfig(call: Call): Promise<void> {
  const change = checkedChange(call)
  const silent: Worker = { print: () => undefined, warn: () => undefined, takes: (seconds) => call.cluster.clock.wait(seconds) }
  await locked(call, () => apply(call, change, silent))
}

function postConfig(call: Call): string {
  const change = checkedChange(call)
  return call.start('qmconfig', change.vm.vmid, (worker) => locked(call, () => apply(call, change, worker)))
}

interface Change {
  readonly vm: Vm
  readonly set: Record<string, string>
  readonly remove: readonly string[]
}

const locked = (call: Call, work: () => Promise<void>): Promise<void> =>
  call.cluster.locks.within(vmLock(call.node, Number(call.parameters.required('vmid'))), work)

function checkedChange(call: Call): Change {
  const { parameters } = call
  onlyRoot(call, 'skiplock')
  const set = withoutAlias(parameters.without(...NO_OPTIONS))
  checkSshKeys(parameters.text('sshkeys'))
  const remove = listOf(parameters.text('delete'))
  if (Object.keys(set).length === 0 && remove.length === 0 && parameters.text('revert') === undefined) throw died('no options specified')
  for (const key of remove) if (set[key] !== undefined) throw badParameters({ delete: `you can't use '-${key}' and -delete ${key}' at the same time` })
  for (const key of nicKeys(set)) set[key] = withMac(set[key] ?? '')
  const vmid = Number(parameters.required('vmid'))
  checkOptions(call, vmid, undefined, [...remove, ...Object.keys(set)])
  checkDriveStorages(call, vmid, set)
  checkBridges(call, set)
  const vm = vmOf(call)
  checkState(call, vm)
  const memory = set['memory'] ?? vm.pending['memory'] ?? vm.config['memory'] ?? '512'
  if (Number(set['balloon'] ?? vm.config['balloon'] ?? 0) > memoryMib({ memory })) throw died('balloon value too large (must be smaller than assigned memory)')
  return { vm, set, remove }
}

function checkState(call: Call, vm: Vm): void {
  const digest = call.parameters.text('digest')
  if (digest !== undefined && digest !== digestOf(vm.config)) throw died('checksum mismatch (file change by other user?)')
  if (!call.parameters.flag('skiplock')) call.cluster.unlocked(vm)
}

async function apply(call: Call, { set, remove }: Change, worker: Worker): Promise<void> {
  call.cluster.needsQuorum()
  const vm = vmOf(call)
  checkState(call, vm)
  worker.print(
    `update VM ${vm.vmid}: ${Object.entries(set)
      .map(([key, value]) => `-${key} ${value}`)
      .join(' ')}`,
  )
  checkDrives(call, vm.vmid, undefined, { ...Object.fromEntries(remove.map((key) => [key, vm.config[key] ?? ''])), ...set })
  checkDevices(call, vm.vmid, undefined, set)
  for (const key of remove) await removeOption(call, vm, key)
  const drives = await createDrives(call, vm, set, worker)
  for (const [key, value] of Object.entries({ ...set, ...drives })) {
    const text = key === 'tags' ? uniqueTags(value) : value
    if (isDrive(key) && vm.config[key] !== undefined && parseDrive(key, vm.config[key]).file !== parseDrive(key, text).file) unuse(vm, key)
    if (vm.pid === null || LIVE.test(key)) vm.config[key] = text
    else vm.pending[key] = text
  }
  if (vm.pid === null) applyPending(vm)
  else await call.cluster.guests.networkChanged(vm.vmid, networkOf(call.cluster, vm))
}

async function removeOption(call: Call, vm: Vm, key: string): Promise<void> {
  if (key === 'lock') vm.lock = null
  const value = vm.config[key]
  delete vm.pending[key]
  if (value === undefined) return
  if (/^unused\d+$/.test(key)) await freeVolume(call.cluster, vm.node, value)
  else if (isDrive(key) && !isCdrom(parseDrive(key, value))) unuse(vm, key)
  else if (isDrive(key) && parseDrive(key, value).file.includes('cloudinit')) await freeVolume(call.cluster, vm.node, parseDrive(key, value).file)
  if (vm.pid === null || LIVE.test(key)) delete vm.config[key]
  else vm.pending[key] = null
}

/** A drive that is taken out stays as an unused volume. */
function unuse(vm: Vm, key: string): void {
  const { file } = parseDrive(key, vm.config[key] ?? '')
  if (!file.includes(':') || isCdrom(parseDrive(key, vm.config[key] ?? ''))) return
  for (let number = 0; number < 256; number += 1) {
    if (vm.config[`unused${number}`] !== undefined) continue
    vm.config[`unused${number}`] = file
    return
  }
  throw died('Too many unused volumes - please delete them first.')
}

function resize(call: Call): string {
  onlyRoot(call, 'skiplock')
  const key = call.parameters.required('disk')
  const size = call.parameters.required('size')
  return call.start('resize', call.parameters.required('vmid'), () =>
    locked(call, async () => {
      const { cluster, access, who } = call
      const vm = vmOf(call)
      checkState(call, vm)
      const text = vm.config[key]
      if (text === undefined) throw died(`disk '${key}' does not exist`)
      const drive = parseDrive(key, text)
      if (isCdrom(drive)) throw died("you can't resize a cdrom")
      access.check(who, `/storage/${storageOf(drive.file)}`, ['Datastore.AllocateSpace'])
      const volume = cluster.storages.volume(drive.file, vm.node)
      if (!volume) throw died(`Could not determine current size of volume '${drive.file}'`)
      const bytes = bytesOf(size) + (size.startsWith('+') ? volume.disk.sizeBytes : 0)
      if (bytes < volume.disk.sizeBytes) throw died('shrinking disks is not supported')
      if (bytes === volume.disk.sizeBytes) return
      await cluster.guests.resizeDisk(volume.disk, bytes)
      cluster.storages.replace(volume, { ...volume, disk: { ...volume.disk, sizeBytes: bytes } })
      vm.config[key] = printDrive({ ...drive, options: { ...drive.options, size: sizeText(bytes) } })
    }),
  )
}

function template(call: Call): string {
  const check = (): Vm => {
    const vm = vmOf(call)
    call.cluster.unlocked(vm)
    if (vm.snapshots.size > 0) throw died('unable to create template, because VM contains snapshots')
    if (vm.config['template'] === '1' && call.parameters.text('disk') === undefined) throw died("you can't convert a template to a template")
    if (vm.pid !== null) throw died("you can't convert a VM to template if VM is running")
    return vm
  }
  check()
  return call.start('qmtemplate', call.parameters.required('vmid'), (worker) =>
    locked(call, async () => {
      const vm = check()
      const only = call.parameters.text('disk')
      disksOfVm(call.cluster, vm)
      vm.config['template'] = '1'
      for (const drive of disksOf(vm.config).filter((each) => only === undefined || each.key === only)) {
        const volume = call.cluster.storages.volume(drive.file, vm.node)
        if (!volume || !call.cluster.storages.can('template', volume)) continue
        await worker.takes(call.cluster.durations.other)
        const base = call.cluster.storages.replace(volume, { ...volume, volid: baseName(volume.volid), base: true })
        vm.config[drive.key] = printDrive({ ...drive, file: base.volid })
      }
    }),
  )
}

/** Volumes of a VM: its drives, what it no longer uses, its cloud-init. */
export const volumesOf = (vm: Vm): string[] => [
  ...drivesOf(vm.config)
    .map((drive) => drive.file)
    .filter((file) => file.includes(':')),
  ...Object.keys(vm.config)
    .filter((key) => /^unused\d+$/.test(key))
    .map((key) => vm.config[key] ?? ''),
]
