/** A Hub's rooms on a stand-in cluster that runs in another process: the real client, gate and substrate are here, and so is their CPU time. */
import type { MachineId } from '@autovibe/contract'
import { SECRETS } from '../../packages/hub/checkpoints/testing/place.ts'
import type { FreshDatabase } from '../../packages/hub/database/testing.ts'
import { gateKeySealing } from '../../packages/hub/security/secrets.ts'
import { ProxmoxClient } from '../../packages/hub/substrates/proxmox/client/client.ts'
import { LIMITS } from '../../packages/hub/substrates/proxmox/client/limits.ts'
import { credentialsOf } from '../../packages/hub/substrates/proxmox/client/test-client.ts'
import { createProxmoxSubstrate } from '../../packages/hub/substrates/proxmox/create-proxmox-substrate.ts'
import { type Gate, openGate } from '../../packages/hub/substrates/proxmox/gate/open-gate.ts'
import type { StoredTrees } from '../../packages/hub/substrates/proxmox/guest-links.ts'
import type { ProxmoxSubstrate } from '../../packages/hub/substrates/proxmox/proxmox-substrate.ts'
import type { ProxmoxSettings } from '../../packages/hub/substrates/proxmox/site.ts'
import { HUB_ID } from '../../packages/hub/substrates/proxmox/test-cluster.ts'
import type { DoorListener } from '../../packages/hub/substrates/substrate.ts'
import type { StorageType } from '../../test/proxmox/storages.ts'
import { type Child, startChild } from '../support/child.ts'
import type { Answer, Opened, PlantedVm, Question, Seen } from './stand-in.ts'

const QUIET = { info: () => undefined, warn: (fields: object, message: string) => console.error(message, fields) }

export class Cluster implements Disposable {
  readonly settings: ProxmoxSettings
  readonly #child: Child<Question, Answer>
  readonly #opened: Opened
  readonly #secondMs: number

  static async start(options: { readonly storage: StorageType; readonly nodes: number; readonly secondMs: number }): Promise<Cluster> {
    const child = startChild<Question, Answer>(new URL('./stand-in.ts', import.meta.url))
    const { opened } = await child.ask({ kind: 'open', ...options })
    if (opened === undefined) throw new Error('the stand-in did not say how to reach it')
    return new Cluster(child, opened, options.secondMs)
  }

  private constructor(child: Child<Question, Answer>, opened: Opened, secondMs: number) {
    this.#child = child
    this.#opened = opened
    this.#secondMs = secondMs
    this.settings = { ...opened.settings, ipConfig: () => 'ip=dhcp' }
  }

  /** With the waits of a real one, shrunk as Proxmox's seconds are. */
  client(): ProxmoxClient {
    const shrunk = ({ firstMs, mostMs }: { readonly firstMs: number; readonly mostMs: number }) => ({
      firstMs: (firstMs * this.#secondMs) / 1000,
      mostMs: (mostMs * this.#secondMs) / 1000,
    })
    const limits = { poll: shrunk(LIMITS.poll), repeat: shrunk(LIMITS.repeat), lock: shrunk(LIMITS.lock) }
    return new ProxmoxClient({ doors: this.#opened.doors, credentials: credentialsOf(this.#opened.token), limits })
  }

  /** VMs that lie there without anybody having been asked to make them. */
  async plant(vms: readonly PlantedVm[]): Promise<void> {
    await this.#child.ask({ kind: 'plant', vms })
  }

  /** All of them count as on, or as off, with nothing behind them. */
  async power(on: boolean): Promise<void> {
    await this.#child.ask({ kind: 'power', on })
  }

  /** No machine is there any more. */
  async clear(): Promise<void> {
    await this.#child.ask({ kind: 'clear' })
  }

  /** What came since it was last asked. */
  async seen(): Promise<Seen> {
    const { seen } = await this.#child.ask({ kind: 'tell' })
    if (seen === undefined) throw new Error('the stand-in told nothing')
    return seen
  }

  [Symbol.dispose](): void {
    this.#child[Symbol.dispose]()
  }
}

export interface Rooms {
  readonly client: ProxmoxClient
  readonly gate: Gate
  readonly substrate: ProxmoxSubstrate
  close(): Promise<void>
}

export async function openRooms(
  cluster: Cluster,
  parts: {
    readonly dataDir: string
    readonly database: FreshDatabase
    readonly door: DoorListener
    readonly trees: StoredTrees
    readonly tokenOf: (machineId: MachineId) => Promise<string>
  },
): Promise<Rooms> {
  const { dataDir, database, ...rest } = parts
  const gate = await openGate({
    listen: { host: '127.0.0.1', port: 0 },
    db: database.db,
    sealing: gateKeySealing(SECRETS),
    dataDir,
    door: parts.door,
    logger: QUIET,
  })
  const client = cluster.client()
  const options = { ...rest, client, db: database.db, hubId: HUB_ID, settings: cluster.settings, links: gate, logger: QUIET }
  const substrate = await createProxmoxSubstrate(options, AbortSignal.timeout(10_000))
  return {
    client,
    gate,
    substrate,
    close: async () => {
      await substrate.close()
      await gate.close()
      await client.close()
    },
  }
}

export interface Spent {
  readonly wallMs: number
  /** Of this process, all its threads. */
  readonly cpuMs: number
}

export async function spent(work: () => Promise<unknown>): Promise<Spent> {
  const startedAt = performance.now()
  const before = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(before)
  return { wallMs: performance.now() - startedAt, cpuMs: (user + system) / 1000 }
}
