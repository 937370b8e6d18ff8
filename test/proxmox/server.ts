/** One request from its bytes to its answer, through Proxmox's own order: credentials, method, permissions, proxy, parameters, work. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { died, notImplemented, percentDecoded, Refusal, textOf } from './answers.ts'
import type { Fault } from './faults.ts'
import { type Done, invoke, Proxied, type Site } from './invoke.ts'
import type { Entry } from './journal.ts'
import type { Raw } from './parameters.ts'
import { receive, sendBare, sendData, sendRefusal } from './wire.ts'

const BASE = /^\/api2\/+([a-z][a-z0-9]+)(\/.*)?$/
const UPLOAD = /^\/nodes\/[^/]+\/storage\/([^/]+)\/upload$/

/** Handles a request that came to the door of a node. */
export async function handle(site: Site, door: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [rawPath = '', query = ''] = (request.url ?? '').split('?', 2)
  const [, format, path = '/'] = BASE.exec(percentDecoded(rawPath)) ?? []
  if (format === undefined) return void sendBare(response, 404, `no such file '${rawPath}'`)
  const method = request.method ?? 'GET'
  const entry: { current: Entry | null } = { current: null }
  const met: { fault: Fault | null } = { fault: null }
  let answer: Done | Refusal
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
    answer = await invoke({ site, door, found, who, byToken, received, fault: met.fault, path })
  } catch (error) {
    if (!(error instanceof Refusal)) site.violations.push(`${method} ${path}: ${error instanceof Error ? error.stack : error}`)
    answer = error instanceof Refusal ? error : died(textOf(error))
  }
  if (met.fault && after(met.fault, response)) return
  const status = await send(site, answer, entry.current === null, response)
  if (entry.current) entry.current.status = status
}

async function send(site: Site, answer: Done | Refusal, unnamed: boolean, response: ServerResponse): Promise<number> {
  if (!(answer instanceof Refusal)) return sendData(response, answer.data, answer.total)
  if (answer instanceof Proxied) return sendBare(response, answer.status, answer.text)
  if (answer.status === 401) await site.cluster.clock.wait(3)
  // Before the API is reached there is no body, only a reason.
  return unnamed ? sendBare(response, answer.status, answer.text) : sendRefusal(response, answer)
}

function fault(site: Site, call: { door: string; method: string; path: string; who: string | null; raw: Raw; template: string | null }): Fault | null {
  const template = call.template ?? call.path
  const key = `${call.method} ${template}`
  const nth = (site.calls.get(key) ?? 0) + 1
  site.calls.set(key, nth)
  return site.faults?.({ method: call.method, template, path: call.path, parameters: call.raw, who: call.who, door: call.door, nth }) ?? null
}

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
