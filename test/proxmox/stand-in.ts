/** A Proxmox cluster for tests: one HTTPS door per node, Proxmox's checks at each, and guests behind it that the test chooses. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Access } from './access.ts'
import { Broadcasts } from './broadcasts.ts'
import type { Endpoints } from './call.ts'
import { selfSigned } from './certificate.ts'
import { scaledClock } from './clock.ts'
import { Cluster, DURATIONS, type Durations, type Node, type Vm } from './cluster.ts'
import { Credentials } from './credentials.ts'
import { type Description, descriptionFile, loadDescription, WITHOUT_DESCRIPTION } from './description.ts'
import { ENDPOINTS, ownDescription } from './endpoints.ts'
import type { FaultHook } from './faults.ts'
import type { Guests } from './guests.ts'
import type { Site } from './invoke.ts'
import { Journal } from './journal.ts'
import { Locks } from './locks.ts'
import { PlainGuests } from './plain-guests.ts'
import { pveum } from './pveum.ts'
import { handle } from './server.ts'
import type { Storage } from './storages.ts'
import { Tasks } from './tasks.ts'
import type { Config } from './vm-config.ts'
import { digestOf, isDrive, parseDrive } from './vm-config.ts'

const GIB = 1024 ** 3
const SECOND_MS = 20
const BROADCAST_EVERY_S = 10

export interface Options {
  /** What is behind the VMs; folders, if nothing else is given. */
  readonly guests?: (directory: string) => Promise<Guests> | Guests
  readonly nodes?: readonly ({ readonly name: string } & Partial<Omit<Node, 'name' | 'id'>>)[]
  readonly storages?: readonly (Pick<Storage, 'id' | 'type'> & Partial<Storage>)[]
  /** How many milliseconds one of Proxmox's seconds lasts. */
  readonly secondMs?: number
  readonly durations?: Partial<Durations>
  /** How often, in Proxmox's seconds, nodes tell the cluster of their VMs; ten, and zero for at once. */
  readonly broadcastEveryS?: number
  readonly faults?: FaultHook
  /** Handlers beside or instead of our own. */
  readonly endpoints?: Endpoints
  /** Null for our own table, whatever lies beside the checkout. */
  readonly description?: Description | null
}

export interface ForeignVm {
  readonly vmid: number
  readonly node: string
  readonly name?: string
  readonly tags?: string
  readonly config?: Config
}

export interface ProxmoxStandIn {
  /** Of the first node; others in `urls`. */
  readonly url: string
  readonly fingerprint: string
  readonly urls: ReadonlyMap<string, string>
  readonly fingerprints: ReadonlyMap<string, string>
  /** Full rights, for a test's own hands: `PVEAPIToken=` and this. */
  readonly adminToken: string
  /** Where the description came from; null when requests are checked against our own table only. */
  readonly descriptionFile: string | null
  readonly cluster: Cluster
  readonly access: Access
  readonly journal: Journal
  readonly violations: readonly string[]
  readonly unmodelled: ReadonlySet<string>
  setFaults(hook: FaultHook | null): void
  /** Runs a line of `pveum` as root; answers what its API call answers. */
  pveum(line: string): Promise<unknown>
  /** A VM of somebody else, with no guest behind it. */
  plantVm(vm: ForeignVm): Vm
  /** Everything Proxmox keeps of a VM, as one digest: two are equal when nothing of it was changed. */
  digestOfVm(vmid: number): string | null
  /** The node's host dies: its door closes, its tasks and its guests end. */
  crashNode(name: string): Promise<void>
  startNode(name: string): Promise<void>
  close(): Promise<void>
}

let told = false

export async function startProxmox(options: Options = {}): Promise<ProxmoxStandIn> {
  const directory = await mkdtemp(join(tmpdir(), 'pve-'))
  const clock = scaledClock(options.secondMs ?? SECOND_MS)
  const guests = (await options.guests?.(directory)) ?? new PlainGuests(join(directory, 'guests'))
  const cluster = new Cluster({
    clock,
    locks: new Locks(clock),
    tasks: new Tasks(clock),
    guests,
    durations: { ...DURATIONS, ...options.durations },
    broadcasts: new Broadcasts(clock, options.broadcastEveryS ?? BROADCAST_EVERY_S),
    directory,
  })
  for (const { name, ...node } of options.nodes ?? [{ name: 'pve1' }]) cluster.addNode(name, node)
  for (const storage of options.storages ?? [{ id: 'local-lvm', type: 'lvmthin' as const }]) addStorage(cluster, storage)
  if (!cluster.storages.find('local')) addStorage(cluster, { id: 'local', type: 'dir', content: ['iso', 'backup', 'import', 'vztmpl'] })
  const access = new Access(cluster)
  access.addToken('root@pam!test', 'c0ffee00-0000-4000-8000-000000000000', { privilegeSeparated: false })
  const doors = new Map([...cluster.nodes.keys()].map((name) => [name, new Door(name)]))
  const fingerprints = new Map([...doors].map(([name, door]) => [name, door.fingerprint]))
  const description = chosenDescription(options)
  const site: Site = {
    cluster,
    access,
    credentials: new Credentials(access, () => clock.now()),
    description,
    endpoints: { ...ENDPOINTS, ...options.endpoints },
    journal: new Journal(),
    fingerprints,
    violations: [],
    unmodelled: new Set(),
    calls: new Map(),
    faults: options.faults ?? null,
    plant: (vmid, node) => void (cluster.vms.has(vmid) || cluster.putVm(vmid, node, { name: `somebody-elses-${vmid}` }, null)),
    crash: (name) => void crash(name),
  }
  const crash = async (name: string): Promise<void> => {
    cluster.crash(name)
    await doors.get(name)?.close()
  }
  for (const door of doors.values()) await door.open(site)
  const [first] = doors.values()
  if (!first) throw new Error('a cluster has a node')
  return {
    url: first.url,
    fingerprint: first.fingerprint,
    urls: new Map([...doors].map(([name, door]) => [name, door.url])),
    fingerprints,
    adminToken: 'root@pam!test=c0ffee00-0000-4000-8000-000000000000',
    descriptionFile: description.file,
    cluster,
    access,
    journal: site.journal,
    violations: site.violations,
    unmodelled: site.unmodelled,
    setFaults: (hook) => {
      site.faults = hook
    },
    pveum: (line) => pveum(site, [...cluster.nodes.keys()][0] ?? '', line),
    plantVm: (vm) => plant(cluster, vm),
    digestOfVm: (vmid) => digestOfVm(cluster, vmid),
    crashNode: crash,
    startNode: async (name) => {
      cluster.node(name).online = true
      await doors.get(name)?.open(site)
    },
    close: async () => {
      await Promise.all([...doors.values()].map((door) => door.close()))
      await cluster.tasks.settled()
      await guests.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

function chosenDescription(options: Options): Description {
  if (options.description) return options.description
  const file = options.description === null ? null : descriptionFile()
  if (file !== null) return loadDescription(file)
  if (!told && options.description === undefined) console.error(WITHOUT_DESCRIPTION)
  told = true
  return ownDescription()
}

function addStorage(cluster: Cluster, storage: Pick<Storage, 'id' | 'type'> & Partial<Storage>): void {
  const shared = storage.type === 'rbd' || storage.type === 'nfs' || storage.type === 'pbs'
  cluster.storages.add({ shared, content: storage.type === 'pbs' ? ['backup'] : ['images'], nodes: null, totalBytes: 1024 * GIB, disabled: false, ...storage })
}

function plant(cluster: Cluster, { vmid, node, name, tags, config }: ForeignVm): Vm {
  const made: Config = { ...config, ...(name === undefined ? {} : { name }), ...(tags === undefined ? {} : { tags }) }
  for (const key of Object.keys(made).filter(isDrive)) {
    const { file } = parseDrive(key, made[key] ?? '')
    const storage = cluster.storages.get(file.split(':')[0] ?? '')
    cluster.storages.put({
      volid: file,
      storage: storage.id,
      node: storage.shared ? null : node,
      content: 'images',
      vmid,
      disk: cluster.storages.newDisk('raw', GIB),
      base: false,
      parent: null,
      createdAt: cluster.now(),
    })
  }
  return cluster.putVm(vmid, node, made, null, 0)
}

function digestOfVm(cluster: Cluster, vmid: number): string | null {
  const vm = cluster.vms.get(vmid)
  if (!vm) return null
  const { snapshots, firewall, config, ...rest } = vm
  const volumes = cluster.storages.all.flatMap((storage) => cluster.storages.volumes(storage, vm.node)).filter((volume) => volume.vmid === vmid)
  return digestOf({
    config: digestOf(config),
    rest: JSON.stringify(rest),
    snapshots: JSON.stringify([...snapshots]),
    firewall: JSON.stringify(firewall),
    pool: cluster.poolOf(vmid) ?? '',
    volumes: JSON.stringify(volumes),
  })
}

/** A node's HTTPS server; it keeps its port and its certificate over a restart. */
class Door {
  readonly #name: string
  readonly #certificate: ReturnType<typeof selfSigned>
  #server: Server | null = null
  #port = 0

  constructor(name: string) {
    this.#name = name
    this.#certificate = selfSigned(name)
  }

  get url(): string {
    return `https://127.0.0.1:${this.#port}`
  }

  get fingerprint(): string {
    return this.#certificate.fingerprint
  }

  async open(site: Site): Promise<void> {
    if (this.#server) return
    const { key, cert } = this.#certificate
    const server = createServer({ key, cert }, (request, response) => {
      handle(site, this.#name, request, response).catch((error: unknown) => {
        // Nothing that is sent may end the test's process; what does is a fault of ours.
        site.violations.push(`${request.method} ${request.url}: ${error instanceof Error ? error.stack : error}`)
        response.destroy()
      })
    })
    this.#server = server
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(this.#port, '127.0.0.1', resolve)
    })
    this.#port = (server.address() as AddressInfo).port
  }

  async close(): Promise<void> {
    const server = this.#server
    if (!server) return
    this.#server = null
    server.closeAllConnections()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  }
}
