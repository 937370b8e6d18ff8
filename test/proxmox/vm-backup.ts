/** Backups of whole VMs by vzdump: made beside the running VM under its lock, listed by a backup server from the first moment, noted and protected at the end. */
import { died, listOf, textOf } from './answers.ts'
import { diskOf, freeze, thaw } from './boot.ts'
import { type Call, type Endpoints, onlyRoot } from './call.ts'
import type { Vm } from './cluster.ts'
import type { Disk } from './guests.ts'
import { backupLock, vmLock } from './locks.ts'
import type { Storage, Volume } from './storages.ts'
import { Vanished, type Worker } from './tasks.ts'
import { disksOf } from './vm-config.ts'

const GIB = 1024 ** 3
/** How long one waits for another of its node, in minutes. */
const LOCKWAIT_MINUTES = 180
/** Protected backups of one VM that somebody without Datastore.Allocate may have. */
const PROTECTED_MOST = 5

export const VM_BACKUP: Endpoints = {
  'POST /nodes/{node}/vzdump': backup,
}

function backup(call: Call): string {
  const { cluster, access, who, node, parameters } = call
  onlyRoot(call, 'tmpdir', 'dumpdir', 'script', 'job-id')
  const vmids = listOf(parameters.text('vmid')).map(Number)
  if (vmids.length === 0 && !parameters.flag('all') && parameters.text('pool') === undefined) throw died('no vmid, all or pool')
  const wanted = vmids.length > 0 ? vmids : [...cluster.vms.keys()]
  // What is on another node is silently left out, what is on none fails visibly later.
  const chosen = wanted.filter((vmid) => (cluster.vms.get(vmid)?.node ?? node) === node)
  if (chosen.length === 0) return 'OK'
  const storage = cluster.storages.enabled(parameters.text('storage') ?? 'local', node)
  if (!storage.content.includes('backup')) throw died(`storage '${storage.id}' does not support backups`)
  access.check(who, `/storage/${storage.id}`, ['Datastore.AllocateSpace'])
  const lockwait = parameters.text('lockwait')
  return call.start('vzdump', chosen.length === 1 ? String(chosen[0]) : '', (worker) =>
    alone(call, worker, lockwait === undefined ? LOCKWAIT_MINUTES : Number(lockwait), async () => {
      worker.print(`INFO: starting new backup job: vzdump ${chosen.join(' ')} --storage ${storage.id}`)
      for (const vmid of chosen) access.check(who, `/vms/${vmid}`, ['VM.Backup'])
      const failed: string[] = []
      for (const vmid of chosen) {
        try {
          await backUp(call, cluster.vm(node, vmid), storage, worker)
        } catch (error) {
          if (error instanceof Vanished) throw error
          worker.print(`ERROR: Backup of VM ${vmid} failed - ${textOf(error)}`)
          failed.push(String(vmid))
        }
      }
      if (failed.length > 0) throw died('job errors')
      worker.print('INFO: Backup job finished successfully')
    }),
  )
}

/** One vzdump of a node after the other; one that has waited in vain exits without a last word. */
async function alone({ cluster, node }: Call, worker: Worker, lockwaitMinutes: number, work: () => Promise<void>): Promise<void> {
  const lock = backupLock(node)
  const file = lock.slice(lock.indexOf(':') + 1)
  const isTaken = (): boolean => cluster.locks.pressure(lock) > 0
  if (isTaken()) {
    if (lockwaitMinutes > 0) worker.print('INFO: trying to get global lock - waiting...')
    const endS = cluster.now() + lockwaitMinutes * 60
    while (isTaken()) {
      if (cluster.now() >= endS) {
        worker.print(`ERROR: can't acquire lock '${file}' ${lockwaitMinutes === 0 ? '(wait = 0)' : '- got timeout'}`)
        throw new Vanished()
      }
      await worker.takes(1)
    }
    worker.print('INFO: got global lock')
  }
  await cluster.locks.within(lock, work)
}

async function backUp(call: Call, vm: Vm, storage: Storage, worker: Worker): Promise<void> {
  const { cluster, parameters } = call
  await cluster.locks.within(vmLock(vm.node, vm.vmid), async () => {
    cluster.unlocked(vm)
    vm.lock = 'backup'
  })
  let begun: Volume | undefined
  try {
    assertMayBeProtected(call, vm, storage)
    const time = freeTime(call, vm, storage)
    const frozen = vm.pid !== null && (await freeze(cluster, vm, worker))
    const disks: Record<string, Disk> = {}
    for (const drive of disksOf(vm.config)) {
      const from = diskOf(cluster, vm, drive)
      disks[drive.key] = cluster.storages.newDisk(from.format, from.sizeBytes)
      await cluster.guests.cloneDisk(from, null, disks[drive.key] ?? from, 'full')
    }
    if (frozen) await thaw(cluster, vm)
    const sizeBytes = Object.values(disks).reduce((sum, disk) => sum + disk.sizeBytes, 0)
    const whole = volumeOf(vm, storage, time, sizeBytes, { disks, config: { ...vm.config } })
    worker.print(`INFO: creating ${storage.type === 'pbs' ? 'Proxmox Backup Server' : 'vzdump'} archive '${targetOf(storage, whole)}'`)
    // A backup server lists what is just being sent to it, of no size yet; a file has another name until it is whole.
    begun = storage.type === 'pbs' ? cluster.storages.put({ ...whole, disk: { ...whole.disk, sizeBytes: 1 } }) : undefined
    await worker.takes((sizeBytes / GIB) * cluster.durations.copyPerGib)
    if (cluster.storages.usedBytes(storage, vm.node) + sizeBytes > storage.totalBytes) throw died('vma_queue_write: write error - No space left on device')
    const made = begun === undefined ? cluster.storages.put(whole) : cluster.storages.replace(begun, whole)
    begun = undefined
    const notes = notesOf(parameters.text('notes-template'), vm)
    if (notes !== undefined) made.notes = notes
    if (parameters.flag('protected')) made.protected = true
    vm.lock = null
  } catch (error) {
    // The server throws away what was broken off; the lock of the VM stays where the worker is gone.
    if (begun !== undefined) cluster.storages.remove(begun)
    if (!(error instanceof Vanished)) vm.lock = null
    throw error
  }
}

function assertMayBeProtected({ cluster, access, who, parameters }: Call, vm: Vm, storage: Storage): void {
  if (!parameters.flag('protected') || access.may(who, `/storage/${storage.id}`, ['Datastore.Allocate'])) return
  const there = cluster.storages.volumes(storage, vm.node).filter((volume) => volume.vmid === vm.vmid && volume.protected === true).length
  if (there >= PROTECTED_MOST) throw died(`The number of protected backups per guest is limited to ${PROTECTED_MOST} on storage '${storage.id}'`)
}

/** Names are of whole seconds: the next that no backup of the VM has. */
function freeTime({ cluster }: Call, vm: Vm, storage: Storage): number {
  let time = Math.floor(cluster.now())
  while (cluster.storages.volume(volidOf(vm, storage, time), vm.node) !== undefined) time += 1
  return time
}

/** As the log of the task names it. */
function targetOf(storage: Storage, { volid }: Volume): string {
  const name = volid.split(':backup/')[1] ?? ''
  return storage.type === 'pbs' ? name : `/mnt/pve/${storage.id}/dump/${name}`
}

function volidOf(vm: Vm, storage: Storage, time: number): string {
  const stamp = new Date(time * 1000).toISOString().slice(0, 19)
  return storage.type === 'pbs'
    ? `${storage.id}:backup/vm/${vm.vmid}/${stamp}Z`
    : `${storage.id}:backup/vzdump-qemu-${vm.vmid}-${stamp.replaceAll('-', '_').replace('T', '-').replaceAll(':', '_')}.vma.zst`
}

function volumeOf(vm: Vm, storage: Storage, time: number, sizeBytes: number, backup: NonNullable<Volume['backup']>): Volume {
  const volid = volidOf(vm, storage, time)
  const node = storage.shared ? null : vm.node
  const disk: Disk = { key: volid, sizeBytes, format: 'raw' }
  return { volid, storage: storage.id, node, content: 'backup', vmid: vm.vmid, disk, base: false, parent: null, createdAt: time, backup }
}

const notesOf = (template: string | undefined, vm: Vm): string | undefined =>
  template
    ?.replaceAll('{{guestname}}', vm.config['name'] ?? '')
    .replaceAll('{{vmid}}', String(vm.vmid))
    .replaceAll('{{node}}', vm.node)
