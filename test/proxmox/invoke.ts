/** A known method done for somebody: permissions, then the node, then parameters, then the work, and our own answer checked. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Access } from './access.ts'
import { badParameters, died, forbidden, Refusal } from './answers.ts'
import type { Call, Endpoints } from './call.ts'
import type { Cluster } from './cluster.ts'
import type { Credentials } from './credentials.ts'
import type { Description, Found } from './description.ts'
import { type Fault, type FaultHook, PROXY_ERRORS } from './faults.ts'
import type { Journal } from './journal.ts'
import { checked, merged, type Raw } from './parameters.ts'
import { checkPermissions } from './permission-checks.ts'
import { checkValue, type Errors, type Value } from './schema-check.ts'
import type { TaskFate } from './tasks.ts'

export interface Site {
  readonly cluster: Cluster
  readonly access: Access
  readonly credentials: Credentials
  readonly description: Description
  readonly endpoints: Endpoints
  readonly journal: Journal
  readonly fingerprints: ReadonlyMap<string, string>
  /** Answers of our own that the description does not allow: a fault of the stand-in, for tests to find none. */
  readonly violations: string[]
  /** Methods that Proxmox has and the stand-in does not, as they were asked for. */
  readonly unmodelled: Set<string>
  readonly calls: Map<string, number>
  faults: FaultHook | null
  plant(vmid: number, node: string): void
  crash(node: string): void
}

export interface Done {
  readonly data: unknown
  readonly total: number | undefined
}

export interface Work {
  readonly site: Site
  readonly door: string
  readonly found: Found
  readonly who: string | null
  readonly byToken: boolean
  readonly received: { readonly parameters: Raw; readonly file: Buffer | null }
  readonly fault: Fault | null
  readonly path: string
}

export async function invoke({ site, door, found, who, byToken, received, fault, path }: Work): Promise<Done> {
  const { method } = found
  const raw = merged(found.pathParameters, received.parameters)
  if (byToken && !method.allowtoken) throw forbidden(`URI '${path}' not available with API token, need proper ticket.\n`)
  checkPermissions(site.access, method.permissions, who, raw)
  const node = method.proxyto ? doorOf(site, String(raw[method.proxyto] ?? ''), door) : nodeNamed(site, raw, door)
  const parameters = checked(raw, method.parameters)
  const key = `${method.method} ${method.path}`
  const handler = site.endpoints[key]
  if (!handler) {
    site.unmodelled.add(key)
    throw new Refusal(501, `The stand-in does not model '${key}'`)
  }
  let fate = fateOf(fault)
  const call: Call = {
    cluster: site.cluster,
    access: site.access,
    credentials: site.credentials,
    node,
    who: who ?? '',
    parameters,
    upload: received.file === null ? null : await stored(site, received.file),
    fingerprints: site.fingerprints,
    total: undefined,
    start: (type, id, run) => {
      // What a task starts in its turn has a fate of its own.
      const mine = fate
      fate = undefined
      // An upload is done by whoever received it.
      return site.cluster.tasks.start({ node: method.proxyto ? node : door, type, id: String(id), user: who ?? '' }, run, mine)
    },
  }
  const data = await handler(call)
  const errors: Errors = {}
  checkValue(data as Value, method.returns, '', errors)
  if (Object.keys(errors).length > 0) {
    site.violations.push(`${key} answered what its description does not allow: ${JSON.stringify(errors)}`)
    throw died(`Result verification failed\n${JSON.stringify(errors)}`)
  }
  return { data, total: call.total }
}

/** What is the cluster's is answered by whoever was asked, about the node that the path names. */
function nodeNamed(site: Site, raw: Raw, door: string): string {
  const name = String(raw['node'] ?? door)
  return site.cluster.nodes.has(name) ? name : door
}

/** The node that does it, as the one that was asked reaches it. */
function doorOf(site: Site, name: string, door: string): string {
  if (name === 'localhost') return door
  if (name === '') throw badParameters({ node: 'proxyto parameter does not exist' })
  const node = site.cluster.nodes.get(name)
  if (!node) throw died(`hostname lookup '${name}' failed - failed to get address info for: ${name}: Name or service not known`)
  if (!node.online) throw new Proxied(PROXY_ERRORS.unreachable.status, PROXY_ERRORS.unreachable.reason)
  return name
}

/** What the proxy says for a node that does not answer. */
export class Proxied extends Refusal {}

async function stored(site: Site, bytes: Buffer): Promise<{ path: string; sizeBytes: number }> {
  const folder = join(site.cluster.directory, 'uploads')
  await mkdir(folder, { recursive: true })
  const path = join(folder, site.cluster.storages.newKey())
  await writeFile(path, bytes)
  return { path, sizeBytes: bytes.length }
}

const fateOf = (fault: Fault | null): TaskFate | undefined =>
  fault?.kind === 'task'
    ? { exit: fault.exit, when: fault.when }
    : fault?.kind === 'task vanishes'
      ? { vanishes: fault.log === 'gone' ? 'with its log' : 'with its log left', when: fault.when }
      : undefined
