/** HTTP as Proxmox speaks it: bodies read within their bounds, uploads taken apart, answers with their reason phrase. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { STATUS_CODES } from 'node:http'
import { gzipSync } from 'node:zlib'
import { Refusal } from './answers.ts'
import { decodeForm, decodeJson, type Raw } from './parameters.ts'

const COMPRESS_BYTES = 1024
const MOST_BODY_BYTES = 512 * 1024
const MOST_UPLOAD_BYTES = 256 * 1024 * 1024

export interface Received {
  readonly parameters: Raw
  readonly file: Buffer | null
}

/** Reads what came beside the path. Nothing but PUT and POST may bring a body. */
export async function receive(request: IncomingMessage, query: string, isUpload: boolean): Promise<Received> {
  const method = request.method ?? 'GET'
  const length = Number(request.headers['content-length'] ?? 0)
  if (request.headers['transfer-encoding'] !== undefined) throw new Refusal(501, 'chunked transfer encoding not supported')
  const fromQuery = decodeForm(query)
  delete fromQuery['_dc']
  if (length === 0) return { parameters: fromQuery, file: null }
  if (method !== 'PUT' && method !== 'POST') throw new Refusal(501, `Unexpected content for method '${method}'`)
  const type = (request.headers['content-type'] ?? '').split(';')[0]?.trim() ?? ''
  if (isUpload) {
    const boundary = /boundary="?([^";]+)"?/.exec(request.headers['content-type'] ?? '')?.[1]
    if (type !== 'multipart/form-data' || boundary === undefined) throw new Refusal(500, `upload 'Content-Type '${type}' not implemented\n`)
    return upload(await read(request, MOST_UPLOAD_BYTES), boundary, fromQuery)
  }
  if (length > MOST_BODY_BYTES) throw new Refusal(501, 'for data too large')
  if (type !== '' && type !== 'application/x-www-form-urlencoded' && type !== 'application/json')
    throw new Refusal(506, `upload 'Content-Type '${type}' not implemented`)
  const body = (await read(request, MOST_BODY_BYTES)).toString('utf8')
  return { parameters: { ...(type === 'application/json' ? decodeJson(body) : decodeForm(body)), ...fromQuery }, file: null }
}

async function read(request: IncomingMessage, most: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > most) throw new Refusal(501, 'for data too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function upload(body: Buffer, boundary: string, query: Raw): Received {
  const parameters: Raw = { ...query }
  let file: Buffer | null = null
  const delimiter = Buffer.from(`--${boundary}`)
  for (let at = body.indexOf(delimiter); at !== -1; ) {
    const next = body.indexOf(delimiter, at + delimiter.length)
    if (next === -1) break
    const part = body.subarray(at + delimiter.length + 2, next - 2)
    const split = part.indexOf('\r\n\r\n')
    const head = part.subarray(0, split).toString('utf8')
    const content = part.subarray(split + 4)
    const name = /\bname="([^"]*)"/.exec(head)?.[1] ?? ''
    const filename = /\bfilename="([^"]*)"/.exec(head)?.[1]
    if (filename === undefined) parameters[name] = content.toString('utf8').trim()
    else {
      parameters['filename'] = filename
      file = Buffer.from(content)
    }
    at = next
  }
  if (file) parameters['tmpfilename'] = `/var/tmp/pveupload-${'0'.repeat(32)}`
  return { parameters, file }
}

/** The first line is the reason phrase; a header cannot carry the rest. */
const reasonOf = (status: number, text: string): string => (text.split('\n')[0] ?? '').replaceAll(/[^\x20-\x7e]/g, '?') || STATUS_CODES[status] || ''

export function sendData(response: ServerResponse, data: unknown, total: number | undefined): number {
  const body = JSON.stringify({ data: data ?? null, ...(total === undefined ? {} : { total }) })
  write(response, 200, 'OK', body)
  return 200
}

/** A refusal of the API: JSON with the message, and what is wrong with each parameter. */
export function sendRefusal(response: ServerResponse, refusal: Refusal): number {
  const body = JSON.stringify({
    data: null,
    ...(refusal.errors ? { errors: refusal.errors } : {}),
    message: refusal.text === '' ? STATUS_CODES[refusal.status] : refusal.text,
  })
  write(response, refusal.status, reasonOf(refusal.status, refusal.text), body)
  return refusal.status
}

/** An answer of the server itself, before or instead of the API: the reason is all there is. */
export function sendBare(response: ServerResponse, status: number, text: string, body = ''): number {
  write(response, status, reasonOf(status, text), body)
  return status
}

function write(response: ServerResponse, status: number, reason: string, body: string): void {
  if (response.headersSent || response.destroyed) return
  const json = body.startsWith('{')
  // Longer answers come compressed to whoever says that it can read them.
  const compressed = body.length > COMPRESS_BYTES && /\bgzip\b/.test(String(response.req.headers['accept-encoding'] ?? ''))
  const bytes = compressed ? gzipSync(body) : Buffer.from(body)
  response.writeHead(status, reason, {
    ...(json ? { 'Content-Type': 'application/json;charset=UTF-8' } : {}),
    ...(compressed ? { 'Content-Encoding': 'gzip' } : {}),
    'Cache-Control': 'max-age=0',
    Pragma: 'no-cache',
    Server: 'pve-api-daemon/3.0',
    'Content-Length': bytes.length,
    ...(status >= 400 ? { Connection: 'close' } : {}),
  })
  response.end(bytes)
}
