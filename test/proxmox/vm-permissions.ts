/** The privileges that single options of a VM need, which Proxmox checks in its code and its description only tells. */
import { ROOT } from './access.ts'
import { badParameters, died, percentDecoded } from './answers.ts'
import type { Call } from './call.ts'
import { storageOf } from './storages.ts'
import { isCdrom, isCloudInit, isDrive, nicKeys, parseDrive, parseNic } from './vm-config.ts'

const OPTIONS: readonly (readonly [privileges: readonly string[], any: boolean, keys: RegExp])[] = [
  [['VM.Config.CPU'], false, /^(?:cores|cpu|runningcpu|cpulimit|cpuunits|numa|smp|sockets|vcpus|numa\d+)$/],
  [['VM.Config.Memory'], false, /^(?:memory|balloon|shares|allow-ksm)$/],
  [['VM.Config.HWType'], false, /^(?:acpi|hotplug|kvm|machine|runningmachine|scsihw|smbios1|tablet|vga|watchdog|audio0|rng0)$/],
  [
    ['VM.Config.Options'],
    false,
    /^(?:agent|autostart|bios|description|keyboard|localtime|migrate_downtime|migrate_speed|name|onboot|ostype|protection|reboot|startdate|startup|tdf|template|tags)$/,
  ],
  [['VM.PowerMgmt'], false, /^freeze$/],
  [['VM.Config.Disk'], false, /^(?:boot|bootdisk|vmstatestorage|unused\d+)$/],
  [['VM.Config.Network'], false, /^net\d+$/],
  [['VM.Config.Cloudinit', 'VM.Config.Network'], true, /^(?:cicustom|cipassword|citype|ciuser|ciupgrade|nameserver|searchdomain|sshkeys|ipconfig\d+)$/],
]

/** Refuses what the sender may not set on this VM, by the kinds of the options. */
export function checkOptions(call: Call, vmid: number, pool: string | undefined, keys: readonly string[]): void {
  if (call.who === ROOT) return
  for (const key of keys) {
    if (isDrive(key) || key === 'cdrom' || /^(?:serial|usb|hostpci|virtiofs)\d+$/.test(key)) continue
    const rule = OPTIONS.find(([, , pattern]) => pattern.test(key))
    if (!rule) throw died(`only root can set '${key}' config`)
    call.access.checkVm(call.who, vmid, pool, rule[0], rule[1])
    if (key === 'startup') call.access.check(call.who, '/', ['Sys.Modify'])
  }
}

/** Serial consoles of a socket are hardware; real devices are root's. */
export function checkDevices(call: Call, vmid: number, pool: string | undefined, config: Readonly<Record<string, string>>): void {
  if (call.who === ROOT) return
  for (const [key, value] of Object.entries(config)) {
    if (!/^(?:serial|usb|hostpci|virtiofs)\d+$/.test(key)) continue
    if (!/^serial\d+$/.test(key) || value !== 'socket') throw died(`only root can set '${key}' config for real devices`)
    call.access.checkVm(call.who, vmid, pool, ['VM.Config.HWType'])
  }
}

/** The drives that are set or changed, each by what it is. */
export function checkDrives(call: Call, vmid: number, pool: string | undefined, config: Readonly<Record<string, string>>): void {
  for (const key of Object.keys(config).filter(isDrive)) {
    const drive = parseDrive(key, config[key] ?? '')
    if (isCloudInit(drive)) call.access.checkVm(call.who, vmid, pool, ['VM.Config.Cloudinit', 'VM.Config.CDROM'])
    else call.access.checkVm(call.who, vmid, pool, [isCdrom(drive) ? 'VM.Config.CDROM' : 'VM.Config.Disk'])
  }
}

/** The storages that new volumes go to, and the volumes that are taken from elsewhere. */
export function checkDriveStorages(call: Call, vmid: number, config: Readonly<Record<string, string>>): void {
  for (const key of Object.keys(config).filter(isDrive)) {
    const drive = parseDrive(key, config[key] ?? '')
    const fresh = /^(?:([^/:\s]+):)?\d+(?:\.\d+)?$/.exec(drive.file)
    if (drive.file.startsWith('/')) {
      if (call.who !== ROOT) throw died('Only root can pass arbitrary filesystem paths.')
    } else if (fresh && !isCdrom(drive)) {
      const storage = fresh[1]
      if (storage === undefined) throw died('no storage ID specified (and no default storage)')
      call.access.check(call.who, `/storage/${storage}`, ['Datastore.AllocateSpace'])
      if (!call.cluster.storages.get(storage).content.includes('images')) throw badParameters({ storage: `storage '${storage}' does not support vm images` })
    } else if (drive.file.includes(':') && !isCloudInit(drive) && drive.file !== 'none') checkVolume(call, drive.file, vmid)
    const source = drive.options['import-from']
    if (source?.startsWith('/') && call.who !== ROOT) throw died('Only root can pass arbitrary filesystem paths.')
    if (source !== undefined && !source.startsWith('/')) checkVolume(call, source, vmid)
  }
}

/** May the sender read or use this volume, for this VM? */
export function checkVolume(call: Call, volid: string, vmid: number | null): void {
  const storage = storageOf(volid)
  const volume = call.cluster.storages.volume(volid, call.node)
  if (call.access.may(call.who, `/storage/${storage}`, ['Datastore.Allocate'])) return
  const content = volume?.content ?? (/^[^:]+:(iso|import|vztmpl)\//.exec(volid)?.[1] as string | undefined)
  if (content === 'iso' || content === 'import' || content === 'vztmpl')
    return void call.access.check(call.who, `/storage/${storage}`, ['Datastore.AllocateSpace', 'Datastore.Audit'], true)
  const owner = volume?.vmid ?? null
  if (owner !== null && owner === vmid) return
  if (owner === null) throw died(`missing privileges to access ${volid}`)
  call.access.check(call.who, `/storage/${storage}`, [content === 'backup' ? 'Datastore.AllocateSpace' : 'Datastore.Audit'])
  call.access.check(call.who, `/vms/${owner}`, [content === 'backup' ? 'VM.Backup' : 'VM.Config.Disk'])
}

/** The bridges, or their VLANs, that cards are plugged into. */
export function checkBridges(call: Call, config: Readonly<Record<string, string>>): void {
  if (call.who === ROOT) return
  for (const key of nicKeys(config)) {
    const nic = parseNic(config[key] ?? '')
    const bridge = nic['bridge']
    if (bridge === undefined) continue
    const tags = [...(nic['tag'] ? [nic['tag']] : []), ...(nic['trunks']?.split(';') ?? [])]
    for (const path of tags.length > 0 ? tags.map((tag) => `/sdn/zones/localnetwork/${bridge}/${tag}`) : [`/sdn/zones/localnetwork/${bridge}`])
      call.access.check(call.who, path, ['SDN.Use'])
  }
}

/** Public keys for cloud-init: encoded once more than the form, each line a key that ssh-keygen would take. */
export function checkSshKeys(encoded: string | undefined): void {
  if (encoded === undefined) return
  const lines = percentDecoded(encoded).split('\n')
  const key =
    /^(?:ssh-(?:rsa|ed25519|dss)|ecdsa-sha2-nistp(?:256|384|521)|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)\s+AAAA[A-Za-z0-9+/]+={0,3}(?:\s.*)?$/
  if (lines.some((line) => line.trim() !== '' && !key.test(line.trim()))) throw died('SSH public key validation error')
}
