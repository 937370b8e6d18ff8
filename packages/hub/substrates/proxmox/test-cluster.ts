/** A Proxmox cluster for tests: the stand-in with real guests and a template on it, a token with the least privileges, and a Hub's driver and gate. */
import { join } from 'node:path'
import type { MachineId } from '@autovibe/contract'
import { asker } from '../../../../test/proxmox/ask.ts'
import { openSandboxMachines } from '../../../../test/proxmox/guest-machines.ts'
import type { Machines, OpenMachines } from '../../../../test/proxmox/machines.ts'
import { expectOk } from '../../../../test/proxmox/stage.ts'
import { type Options, type ProxmoxStandIn, startProxmox } from '../../../../test/proxmox/stand-in.ts'
import type { StorageType } from '../../../../test/proxmox/storages.ts'
import type { StoredTrees } from '../../checkpoints/stored-trees.ts'
import { SECRETS } from '../../checkpoints/testing/place.ts'
import type { FreshDatabase } from '../../database/testing.ts'
import { gateKeySealing } from '../../security/secrets.ts'
import { CONFORMANCE_AGENT } from '../conformance.ts'
import type { DoorListener } from '../substrate.ts'
import type { ProxmoxClient } from './client/client.ts'
import { systemClock } from './client/clock.ts'
import { pveumLines } from './client/privileges.ts'
import { clientOf, credentialsOf } from './client/test-client.ts'
import { createProxmoxSubstrate } from './create-proxmox-substrate.ts'
import { type Gate, type GateOptions, openGate } from './gate/open-gate.ts'
import { type Lie, lyingLinks } from './lying-links.ts'
import type { ProxmoxSubstrate } from './proxmox-substrate.ts'
import type { ProxmoxPatience, ProxmoxSettings } from './site.ts'

const GIB = 1024 ** 3
const SITE = { user: 'autovibe@pve', token: 'hub', pool: 'autovibe', storages: ['machines'], bridges: ['vmbr1'] }
const TEMPLATE = 9000
const ARCHIVES = 'archives'
/** As machines dial it; the stand-in joins it to where the gate really listens. */
const GATE = { host: '10.90.0.1', port: 7443 } as const
/** Another address that leads there. */
export const OTHER_GATE_HOST = '10.90.0.2'
export const HUB_ID = '0123456789abcdef0123456789abcdef'

export interface ClusterOptions {
  readonly storage: StorageType
  /** What archives go to; none: none are taken. */
  readonly archive?: StorageType
  readonly nodes?: number
  /** The program that guests start as the agent. */
  readonly agent?: string
  /** Where guests find the tools of agents. */
  readonly agentsDir?: string
  /** What VMs are; sandboxes unless it says so. */
  readonly machines?: OpenMachines
  readonly standIn?: Partial<Options>
}

/** A cluster with a template on each of its nodes, and a token for the Hub. */
export class TestCluster {
  readonly pve: ProxmoxStandIn
  readonly guests: Machines['guests']
  readonly settings: ProxmoxSettings
  /** `USER!NAME=SECRET`. */
  readonly token: string
  /** Where the gate really is. */
  gatePort = 0
  /** What guests tell of themselves; null for the truth. */
  lie: Lie | null = null

  private constructor(pve: ProxmoxStandIn, guests: Machines['guests'], settings: ProxmoxSettings, token: string) {
    this.pve = pve
    this.guests = guests
    this.settings = settings
    this.token = token
  }

  static async start({
    storage,
    archive,
    nodes = 1,
    agent = CONFORMANCE_AGENT,
    agentsDir = '/opt/autovibe/agents',
    machines: openMachines = openSandboxMachines,
    standIn = {},
  }: ClusterOptions): Promise<TestCluster> {
    let machines: Machines | undefined
    let cluster: TestCluster | undefined
    const names = Array.from({ length: nodes }, (_, index) => `pve${index + 1}`)
    const pve = await startProxmox({
      secondMs: 4,
      nodes: names.map((name) => ({ name })),
      storages: [{ id: 'machines', type: storage }, ...(archive === undefined ? [] : [{ id: ARCHIVES, type: archive, content: ['backup' as const] }])],
      guests: async (directory) => {
        const gate = { address: GATE.host, port: GATE.port, also: [OTHER_GATE_HOST], listens: () => cluster?.gatePort ?? 0 }
        machines = await openMachines({ root: join(directory, 'guests'), gate, agent, agentsDir })
        return machines.guests
      },
      ...standIn,
    })
    if (machines === undefined) throw new Error('the stand-in made no guests')
    const token = await letIn(pve, archive === undefined ? null : ARCHIVES)
    const shared = pve.cluster.storages.get('machines').shared
    const templates = (shared ? names.slice(0, 1) : names).map((node, index) => ({ node, vmid: TEMPLATE + index }))
    for (const { node, vmid } of templates) await makeTemplate(pve, node, vmid, await machines.templateDisk(pve, node, 'machines'))
    await asker(pve).ask('PUT', '/pools/autovibe', { vms: templates.map(({ vmid }) => vmid).join(',') })
    const settings: ProxmoxSettings = {
      pool: SITE.pool,
      templates,
      storage: 'machines',
      bridge: 'vmbr1',
      vmids: { from: 900_000, to: 900_999 },
      nodes: null,
      gate: GATE,
      ipConfig: () => 'ip=dhcp',
      spread: true,
      snapshotsMost: 3,
      withMemory: false,
      archive: { storage: archive === undefined ? null : ARCHIVES, keep: 3, tokenId: `${SITE.user}!${SITE.token}` },
      defaultLimits: { cores: 1, memory_bytes: GIB, processes: 2048, disk_bytes: GIB, wall_seconds: 3600 },
    }
    cluster = new TestCluster(pve, machines.guests, settings, token)
    return cluster
  }

  /** By the clock of the nodes, which a test may put on. */
  client(): ProxmoxClient {
    const clock = { ...systemClock, nowMs: () => this.pve.cluster.clock.now() * 1000 }
    return clientOf(this.pve, { credentials: credentialsOf(this.token), clock })
  }

  async close(): Promise<void> {
    await this.pve.close()
    if (this.pve.violations.length > 0) throw new Error(`the stand-in broke its description:\n${this.pve.violations.join('\n')}`)
  }
}

/** As an administrator does it: by the lines that the Hub prints. */
async function letIn(pve: ProxmoxStandIn, archive: string | null): Promise<string> {
  let token = ''
  for (const line of pveumLines({ ...SITE, archive })) {
    const answer = (await pve.pveum(line)) as { 'full-tokenid'?: string; value?: string } | null
    if (answer?.value !== undefined) token = `${answer['full-tokenid']}=${answer.value}`
  }
  return token
}

async function makeTemplate(pve: ProxmoxStandIn, node: string, vmid: number, scsi0: string): Promise<void> {
  const root = asker(pve)
  const disk = { scsi0, ide2: 'machines:cloudinit', net0: 'virtio,bridge=vmbr1,firewall=1' }
  expectOk(await root.task('POST', `/nodes/${node}/qemu`, { vmid, name: `template-${vmid}`, memory: '512', cores: 1, agent: '1', ...disk }))
  expectOk(await root.task('POST', `/nodes/${node}/qemu/${vmid}/template`, {}))
}

/** What one Hub has open on the cluster. */
export interface OpenHub {
  readonly substrate: ProxmoxSubstrate
  readonly gate: Gate
  close(): Promise<void>
}

export async function openHub(
  cluster: TestCluster,
  parts: {
    readonly dataDir: string
    readonly database: FreshDatabase
    readonly door: DoorListener
    readonly trees: Pick<StoredTrees, 'state' | 'tar' | 'changes'>
    readonly tokenOf: (machineId: MachineId) => Promise<string>
    readonly patience?: Partial<ProxmoxPatience>
    readonly settings?: Partial<ProxmoxSettings>
    readonly gateLimits?: GateOptions['limits']
    /** Where machines of this Hub find the gate. */
    readonly gateHost?: string
  },
): Promise<OpenHub> {
  const logger = { info: () => undefined, warn: (fields: object, message: string) => console.error(message, fields) }
  const place = { ...GATE, host: parts.gateHost ?? GATE.host }
  const gate = await openGate({
    listen: { host: '127.0.0.1', port: cluster.gatePort },
    advertised: `${place.host}:${place.port}`,
    db: parts.database.db,
    sealing: gateKeySealing(SECRETS),
    dataDir: parts.dataDir,
    door: parts.door,
    logger,
    limits: parts.gateLimits ?? {},
  })
  cluster.gatePort = gate.port
  const client = cluster.client()
  const substrate = await createProxmoxSubstrate(
    {
      client,
      db: parts.database.db,
      hubId: HUB_ID,
      settings: { ...cluster.settings, gate: place, ...parts.settings },
      links: lyingLinks(gate, () => cluster.lie),
      trees: parts.trees,
      tokenOf: parts.tokenOf,
      logger,
      patience: { bootMs: 20_000, linkMs: 5_000, storeMs: 10_000, idleMs: 2_000, ...parts.patience },
    },
    AbortSignal.timeout(10_000),
  )
  return {
    substrate,
    gate,
    close: async () => {
      await substrate.close()
      await gate.close()
      await client.close()
    },
  }
}
