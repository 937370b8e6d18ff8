/** One request from its bytes to its answer, through Proxmox's own order: credentials, method, permissions, proxy, parameters, work. */
import { mkdir, writeFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import type { Access } from './access.ts'
import { badParameters, died, forbidden, notImplemented, Refusal, textOf } from './answers.ts'
import type { Call, Endpoints } from './call.ts'
import type { Cluster } from './cluster.ts'
import type { Credentials } from './credentials.ts'
import type { Description, Found } from './description.ts'
import { type Fault, type FaultHook, PROXY_ERRORS } from './faults.ts'
import type { Entry, Journal } from './journal.ts'
import { checked, merged, type Raw } from './parameters.ts'
import { checkPermissions } from './permission-checks.ts'
import { checkValue, type Errors, type Value } from './schema-check.ts'
import type { TaskFate } from './tasks.ts'
import { receive, sendBare, sendData, sendRefusal } from './wire.ts'

const BASE = /^\/api2\/+([a-z][a-z0-9]+)(\/.*)?$/
const UPLOAD = /^\/nodes\/[^/]+\/storage\/([^/]+)\/upload$/

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

/** Handles a request that came to the door of a node. */
export async function handle(site: Site, door: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [rawPath = '', query = ''] = (request.url ?? '').split('?', 2)
  const [, format, path = '/'] = BASE.exec(decodeURIComponent(rawPath)) ?? []
  if (format === undefined) return void sendBare(response, 404, `no such file '${rawPath}'`)
  const method = request.method ?? 'GET'
  const entry: { current: Entry | null } = { current: null }
  const met: { fault: Fault | null } = { fault: null }
  let answer: { data: unknown; total: number | undefined } | Refusal
  try {
    const isUpload = method === 'POST' && UPLOAD.test(path)
    const { who, byToken } = site.credentials.caller(method, path, request.headers, isUpload)
    if (format !== 'json') return void sendBare(response, 501, `no formatter for uri ${path}, ${format}`)
    if (isUpload && who !== null) site.access.check(who, `/storage/${UPLOAD.exec(path)?.[1]}`, ['Datastore.AllocateTemplate'])
    const received = await receive(request, query, isUpload)
    const found = site.description.find(method, path)
    const raw: Raw = { ...found?.pathParameters, ...received.parameters }
    entry.current = site.journal.add({ door, method, path, template: found?.method.path ?? null, who, parameters: raw })
    met.fault = fault(site, { door, method, path, who, raw, template: found?.method.path ?? null })
    if (await before(site, door, raw, met.fault, response)) return
    if (!found) throw notImplemented(method, path)
    answer = await work({ site, door, found, who, byToken, received, fault: met.fault, path })
  } catch (error) {
    if (!(error instanceof Refusal)) site.violations.push(`${method} ${path}: ${error instanceof Error ? error.stack : error}`)
    answer = error instanceof Refusal ? error : died(textOf(error))
  }
  if (met.fault && after(met.fault, response)) return
  const status = await send(site, answer, entry.current === null, response)
  if (entry.current) entry.current.status = status
}

async function send(site: Site, answer: { data: unknown; total: number | undefined } | Refusal, unnamed: boolean, response: ServerResponse): Promise<number> {
  if (!(answer instanceof Refusal)) return sendData(response, answer.data, answer.total)
  if (answer instanceof Proxied) return sendBare(response, answer.status, answer.text)
  if (answer.status === 401) await site.cluster.clock.wait(3)
  // Before the API is reached there is no body, only a reason.
  return unnamed && answer.status !== 403 ? sendBare(response, answer.status, answer.text) : sendRefusal(response, answer)
}

interface Work {
  readonly site: Site
  readonly door: string
  readonly found: Found
  readonly who: string | null
  readonly byToken: boolean
  readonly received: { readonly parameters: Raw; readonly file: Buffer | null }
  readonly fault: Fault | null
  readonly path: string
}

async function work({ site, door, found, who, byToken, received, fault, path }: Work): Promise<{ data: unknown; total: number | undefined }> {
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
    start: (type, id, run) => site.cluster.tasks.start({ node, type, id: String(id), user: who ?? '' }, run, fateOf(fault)),
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
class Proxied extends Refusal {}

async function stored(site: Site, bytes: Buffer): Promise<{ path: string; sizeBytes: number }> {
  const folder = join(site.cluster.directory, 'uploads')
  await mkdir(folder, { recursive: true })
  const path = join(folder, site.cluster.storages.newKey())
  await writeFile(path, bytes)
  return { path, sizeBytes: bytes.length }
}

function fault(site: Site, call: { door: string; method: string; path: string; who: string | null; raw: Raw; template: string | null }): Fault | null {
  const template = call.template ?? call.path
  const key = `${call.method} ${template}`
  const nth = (site.calls.get(key) ?? 0) + 1
  site.calls.set(key, nth)
  return site.faults?.({ method: call.method, template, path: call.path, parameters: call.raw, who: call.who, door: call.door, nth }) ?? null
}

const fateOf = (fault: Fault | null): TaskFate | undefined =>
  fault?.kind === 'task'
    ? { exit: fault.exit, when: fault.when }
    : fault?.kind === 'task vanishes'
      ? { vanishes: fault.log === 'gone' ? 'with its log' : 'with its log left', when: fault.when }
      : undefined

/** What happens before the work; true when there is nothing more to do. */
async function before(site: Site, door: string, raw: Raw, fault: Fault | null, response: ServerResponse): Promise<boolean> {
  if (!fault) return false
  const vmid = Number(raw['vmid'] ?? raw['newid'])
  const node = site.cluster.vms.get(vmid)?.node ?? String(raw['node'] ?? door)
  if (fault.kind === 'vmid taken') site.plant(Number(raw['newid'] ?? raw['vmid']), node)
  if (fault.kind === 'agent silent') throw died('QEMU guest agent is not running')
  if (fault.kind === 'lock held') holdLock(site, node, vmid, fault)
  if (fault.kind === 'node down') {
    site.crash(node)
    if (node === door) return (response.destroy(), true)
  }
  return 'when' in fault && fault.when === 'before' && interrupted(fault, response)
}

function after(fault: Fault, response: ServerResponse): boolean {
  return 'when' in fault && fault.when === 'after' && interrupted(fault, response)
}

function interrupted(fault: Fault, response: ServerResponse): boolean {
  if (fault.kind === 'reset') response.destroy()
  else if (fault.kind === 'answer') sendBare(response, fault.status, fault.reason)
  // Silence: the connection stays, and nothing is said on it.
  return fault.kind === 'reset' || fault.kind === 'silence' || fault.kind === 'answer'
}

function holdLock(site: Site, node: string, vmid: number, fault: { seconds: number; storage?: string }): void {
  const storage = fault.storage === undefined ? undefined : site.cluster.storages.find(fault.storage)
  site.cluster.hold(node, storage ?? vmid, fault.seconds)
}
