/** Guests that are real VMs of QEMU: their RAM can be kept, their file systems really freeze, and a clone is a qcow2 upon a qcow2. */
import { mkdir, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { readProcess } from '../../packages/hub/substrates/local/processes.ts'
import { hostnameOf, serialOf } from './boot-facts.ts'
import { GuestNetwork, type Reachable } from './guest-network.ts'
import { Spent, usageOf } from './guest-usage.ts'
import type { Boot, Disk, DiskSource, GuestAgent, Guests, Network, SnapshotRequest, Usage } from './guests.ts'
import type { VmImage } from './qemu/image.ts'
import { QemuDisks } from './qemu-disks.ts'
import { QemuMachine } from './qemu-machine.ts'
import { RunningGuests } from './running-guests.ts'

/** The network of all guests; QEMU serves places of it alone. Each guest has it for itself. */
const NETWORK = { prefix: '10.90.0.', address: '10.90.0.15', bits: 24, host: '10.90.0.254' }

export interface QemuOptions {
  /** A folder of its own, removed at the end; short, for the sockets in it. */
  readonly root: string
  readonly image: VmImage
  /** A raw disk that every VM can read as its second. */
  readonly codeDisk?: string
  /** The only places beyond a VM, within 10.90.0.0/24; its rules say which of them it reaches. */
  readonly reachable?: (boot: Boot) => readonly Reachable[]
}

interface Running {
  readonly boot: Boot
  readonly network: GuestNetwork
  readonly machine: QemuMachine
  readonly spent: Spent
}

export class QemuGuests implements Guests {
  readonly #running = new RunningGuests<Running>()
  readonly running = this.#running.all
  readonly #options: QemuOptions
  readonly #disks: QemuDisks

  constructor(options: QemuOptions) {
    this.#options = options
    this.#disks = new QemuDisks(join(options.root, 'disks'))
  }

  file(disk: Disk): string {
    return this.#disks.file(disk)
  }

  console(vmid: number): string {
    return join(this.#place(vmid), 'console')
  }

  createDisk(disk: Disk, source: DiskSource): Promise<void> {
    return this.#disks.create(disk, source)
  }

  cloneDisk(from: Disk, snapshot: string | null, to: Disk, how: 'linked' | 'full'): Promise<void> {
    return this.#disks.clone(from, snapshot, to, how)
  }

  async resizeDisk(disk: Disk, sizeBytes: number): Promise<void> {
    const guest = [...this.running.values()].find(({ boot }) => boot.disks.some(({ key }) => key === disk.key))
    if (guest) await guest.machine.monitor('block_resize', { device: nodeOf(disk, guest.boot), size: sizeBytes })
    else await this.#disks.resize(disk, sizeBytes)
  }

  deleteDisk(disk: Disk): Promise<void> {
    return this.#disks.delete(disk)
  }

  snapshot({ vmid, name, disks, memory }: SnapshotRequest): Promise<void> {
    return this.#running.inTurn(vmid, async () => {
      const guest = this.running.get(vmid)
      if (!guest) for (const disk of disks) await this.#disks.keep(disk, name)
      else if (memory !== null) await guest.machine.human(`savevm ${name}`)
      else
        await guest.machine.monitor('transaction', {
          actions: disks.map((disk) => ({ type: 'blockdev-snapshot-internal-sync', data: { device: nodeOf(disk, guest.boot), name } })),
        })
      this.#running.keepMemory(memory, { vmid, snapshot: name })
    })
  }

  async rollback(_vmid: number, name: string, disks: readonly Disk[]): Promise<void> {
    for (const disk of disks) await this.#disks.goBack(disk, name)
  }

  deleteSnapshot({ vmid, name, disks, memory }: SnapshotRequest): Promise<void> {
    return this.#running.inTurn(vmid, async () => {
      const guest = this.running.get(vmid)
      for (const disk of disks)
        if (guest) await guest.machine.monitor('blockdev-snapshot-delete-internal-sync', { device: nodeOf(disk, guest.boot), name })
        else await this.#disks.drop(disk, name)
      this.#running.dropMemory(memory)
    })
  }

  start(boot: Boot): Promise<void> {
    return this.#running.start(boot, (snapshot) => this.#boot(boot, snapshot))
  }

  stop(vmid: number): Promise<void> {
    return this.#running.inTurn(vmid, async () => {
      const guest = this.running.get(vmid)
      if (guest) await this.#running.end(guest, () => guest.machine.kill())
    })
  }

  async shutdown(vmid: number): Promise<void> {
    await this.#running.get(vmid).machine.monitor('system_powerdown')
  }

  /** Its process ends, as by a crash of QEMU. */
  async crash(vmid: number): Promise<void> {
    await this.#running.get(vmid).machine.kill()
  }

  async reset(vmid: number): Promise<void> {
    await this.#running.get(vmid).machine.monitor('system_reset')
  }

  async pause(vmid: number): Promise<void> {
    await this.#running.get(vmid).machine.monitor('stop')
  }

  async resume(vmid: number): Promise<void> {
    await this.#running.get(vmid).machine.monitor('cont')
  }

  async networkChanged(vmid: number, network: Network): Promise<void> {
    this.#running.get(vmid).network.change(network)
  }

  agent(vmid: number): GuestAgent | null {
    const guest = this.running.get(vmid)
    return guest?.machine.hasAgent === true ? guest.machine : null
  }

  usage(vmid: number): Usage {
    const guest = this.running.get(vmid)
    const process = guest ? readProcess(guest.machine.pid) : null
    return usageOf(process ? [process] : [], guest ?? { spent: new Spent(), network: { received: 0, sent: 0 } })
  }

  onEnded(listener: (vmid: number) => void): void {
    this.#running.onEnded(listener)
  }

  async close(): Promise<void> {
    await Promise.all([...this.running.keys()].map((vmid) => this.stop(vmid)))
    await rm(this.#options.root, { recursive: true, force: true })
  }

  #place(vmid: number): string {
    return join(this.#options.root, `${vmid}`)
  }

  async #boot(boot: Boot, snapshot: string | null): Promise<void> {
    const folder = this.#place(boot.vmid)
    await mkdir(folder, { recursive: true })
    for (const name of ['monitor', 'agent']) await rm(join(folder, name), { force: true })
    const network = new GuestNetwork(boot.network)
    const forwards: string[] = []
    for (const [index, place] of (this.#options.reachable?.(boot) ?? []).entries()) {
      const path = join(folder, `place-${index}`)
      await rm(path, { force: true })
      const server = createServer()
      network.joins(server, place)
      await new Promise<void>((listening, failed) => server.once('error', failed).listen(path, listening))
      const connector = `${process.execPath} ${new URL('qemu-connector.cjs', import.meta.url).pathname} ${path}`
      forwards.push(`,guestfwd=tcp:${place.address}:${place.port}-cmd:${connector}`)
    }
    const loading = snapshot === null ? [] : ['-loadvm', snapshot]
    const machine = await QemuMachine.start(folder, [...this.#arguments(boot, folder, forwards.join('')), ...loading]).catch((error: unknown) => {
      network.close()
      throw error
    })
    this.#running.began({ boot, network, machine, spent: new Spent() }, machine.ended)
  }

  #arguments(boot: Boot, folder: string, forwards: string): string[] {
    const { image, codeDisk } = this.#options
    const kernel = `console=ttyS0 panic=-1 quiet vm.hostname=${hostnameOf(boot)} vm.address=${NETWORK.address}/${NETWORK.bits}`
    const drives = boot.disks.flatMap((disk) => [
      ...['-blockdev', `driver=qcow2,node-name=${nodeOf(disk, boot)},file.driver=file,file.filename=${this.file(disk)}`],
      ...['-device', `virtio-blk-pci,drive=${nodeOf(disk, boot)}`],
    ])
    const code = codeDisk === undefined ? [] : ['-blockdev', `driver=raw,node-name=code,read-only=on,file.driver=file,file.filename=${codeDisk}`]
    const cards =
      boot.network.nics.length === 0 ? [] : ['-netdev', `user,id=net0,restrict=on,net=${NETWORK.prefix}0/${NETWORK.bits},host=${NETWORK.host}${forwards}`]
    return [
      ...['-machine', 'q35,accel=tcg,usb=off,vmport=off,hpet=off', '-cpu', 'max', '-smp', String(boot.cores), '-m', String(boot.memoryMib)],
      ...[
        '-nodefaults',
        '-no-user-config',
        '-display',
        'none',
        '-name',
        hostnameOf(boot),
        '-chardev',
        `file,id=console,path=${join(folder, 'console')},append=on`,
      ],
      ...['-serial', 'chardev:console'],
      ...['-smbios', `type=1,serial=${serialOf(boot).replaceAll(',', ',,')}`],
      ...['-kernel', image.kernel, '-initrd', image.initramfs, '-append', kernel],
      ...drives,
      ...code,
      ...(code.length === 0 ? [] : ['-device', 'virtio-blk-pci,drive=code']),
      ...cards,
      ...(cards.length === 0 ? [] : ['-device', `virtio-net-pci,netdev=net0,mac=${boot.network.nics[0]?.mac}`]),
    ]
  }
}

/** A disk's name within its VM, the same in each start, as a kept RAM expects it. */
const nodeOf = (disk: Disk, boot: Boot): string => `disk${boot.disks.findIndex(({ key }) => key === disk.key)}`
