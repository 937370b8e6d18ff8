/** A cluster of real VMs with the driver on it, and short ways to look behind the driver's back: by Proxmox's API as root, and at QEMU's own files. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { promisify } from 'node:util'
import type { MachineId, MachineLimits } from '@autovibe/contract'
import { ConformanceStage, signal } from '../../packages/hub/substrates/conformance-stage.ts'
import type { ProxmoxSettings } from '../../packages/hub/substrates/proxmox/site.ts'
import { ProxmoxGround } from '../../packages/hub/substrates/proxmox/test-ground.ts'
import type { SnapshotHandle } from '../../packages/hub/substrates/substrate.ts'
import { until } from '../support/until.ts'
import { type Asker, asker } from './ask.ts'
import { diskOf } from './boot.ts'
import type { Vm } from './cluster.ts'
import { openQemuMachines } from './qemu-machines.ts'
import type { StorageType } from './storages.ts'
import type { Task } from './tasks.ts'
import { disksOf } from './vm-config.ts'

const run = promisify(execFile)
export const MIB = 1024 ** 2
export const LIMITS: MachineLimits = { cores: 1, memory_bytes: 256 * MIB, processes: 200, disk_bytes: 1024 * MIB, wall_seconds: 3600 }
/** What a VM has for its guest beside what the machine may take. */
export const GUEST_MIB = 256
/** What a node does takes as long as it takes here; what it waits for are real seconds. */
const STAND_IN = { secondMs: 1_000, durations: { linkedClone: 0, copyPerGib: 0, start: 0, stop: 0, snapshot: 0, memoryPerGib: 0, other: 0 } }
/** An emulated processor is ten times slower, and whoever runs such tests may run others beside them. */
const PATIENCE = {
  substrate: { bootMs: 180_000, linkMs: 60_000, haltMs: 60_000, storeMs: 120_000, idleMs: 600_000 },
  gate: { helloMs: 60_000, stateMs: 60_000 },
}
const ANSWER_MS = 120_000

export interface Image {
  readonly 'full-backing-filename'?: string
  readonly snapshots?: readonly { readonly name: string; readonly 'vm-state-size': number }[]
}

export class DriverScene {
  readonly stage = new ConformanceStage(ANSWER_MS)
  readonly ground: ProxmoxGround
  readonly root: Asker
  /** Where everything that the cluster has lies. */
  readonly directory: string

  private constructor(ground: ProxmoxGround) {
    this.ground = ground
    this.root = asker(ground.cluster.pve)
    this.directory = ground.cluster.pve.cluster.directory
  }

  static async open(storage: StorageType, settings: Partial<ProxmoxSettings> = {}): Promise<DriverScene> {
    const scene = new DriverScene(await ProxmoxGround.make({ storage, machines: openQemuMachines, standIn: STAND_IN }, PATIENCE))
    scene.ground.settings = settings
    await scene.stage.open(scene.ground)
    return scene
  }

  async said(machineId: MachineId, script: string): Promise<string> {
    return String((await this.stage.script(machineId, script)).output)
  }

  async checkpoint(machineId: MachineId): Promise<SnapshotHandle> {
    return (await this.stage.substrate.snapshot(machineId, this.stage.newCheckpoint(), signal)).handle
  }

  async vmOf(machineId: MachineId): Promise<Vm> {
    const vmid = await this.ground.vmidOf(machineId)
    const vm = this.ground.cluster.pve.cluster.vms.get(vmid)
    assert.ok(vm, `VM ${vmid} is there`)
    return vm
  }

  /** What the guest's QEMU agent answers to Proxmox. */
  async agent(machineId: MachineId, command: string, fields: Readonly<Record<string, string | number>> = {}): Promise<unknown> {
    const { vmid } = await this.vmOf(machineId)
    const answer = await this.root.get(`/nodes/pve1/qemu/${vmid}/agent/${command}`, fields)
    assert.equal(answer.status, 200, answer.reason)
    return answer.data.result ?? answer.data
  }

  /** What a script says that root runs in the VM, by QEMU's agent. */
  async asRoot(machineId: MachineId, script: string): Promise<string> {
    const { vmid } = await this.vmOf(machineId)
    const begun = await this.root.post(`/nodes/pve1/qemu/${vmid}/agent/exec`, { command: ['/bin/sh', '-c', script] })
    assert.equal(begun.status, 200, begun.reason)
    const ended = await until(`${script} ends`, ANSWER_MS, async () => {
      const status = (await this.agent(machineId, 'exec-status', { pid: begun.data.pid })) as Readonly<Record<string, unknown>>
      return status['exited'] === 1 ? status : undefined
    })
    assert.equal(ended['exitcode'], 0, String(ended['err-data']))
    return String(ended['out-data'] ?? '')
  }

  /** The disk of a VM as qemu-img shows it. */
  async image(vmid: number): Promise<Image> {
    const { stdout } = await run('qemu-img', ['info', '-U', '--output=json', this.file(vmid)])
    return JSON.parse(stdout) as Image
  }

  file(vmid: number): string {
    const { cluster } = this.ground.cluster.pve
    const vm = cluster.vms.get(vmid)
    const [drive] = vm === undefined ? [] : disksOf(vm.config)
    assert.ok(vm && drive, `VM ${vmid} has a disk`)
    return `${this.directory}/guests/disks/${diskOf(cluster, vm, drive).key}/disk.qcow2`
  }

  /** Of a VM, from the oldest. */
  tasks(vmid: number): Task[] {
    return this.ground.cluster.pve.cluster.tasks.all.filter(({ id }) => id === String(vmid))
  }

  /** The tasks since this moment, by their kind. */
  since(vmid: number, count: number): string[] {
    return this.tasks(vmid)
      .slice(count)
      .map(({ type, exitstatus }) => `${type} ${exitstatus}`)
  }

  /** Command lines of this host's processes that have to do with the cluster. */
  async processes(): Promise<string[]> {
    const numbers = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
    return numbers.map(commandLine).filter((line) => line.includes(this.directory))
  }
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    // It ended meanwhile.
    return ''
  }
}
