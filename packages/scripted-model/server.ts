/** The server: routes, keys and the life of a listener; what an answer says is decided elsewhere. */
import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { AutovibeError } from '@autovibe/contract'
import { answerMessages, type Context } from './messages.ts'
import { CallLog, type OpenCall, type RecordedCall } from './record.ts'
import { loadScript, parseScript } from './script/load.ts'
import type { Script } from './script/types.ts'
import { isObject } from './wire/blocks.ts'
import { ProviderError } from './wire/errors.ts'
import { json } from './wire/json.ts'
import { parseRequest } from './wire/request.ts'
import { countInput, PromptCache } from './wire/usage.ts'

/** The path of a script file, or a script's text with the name that messages give it. */
export type ScriptSource = string | { readonly text: string; readonly name: string }

export interface ScriptedModelOptions {
  readonly script: ScriptSource
  /** 0, the default, takes a free one. */
  readonly port?: number
  /** Loopback only: the script's key is no secret. */
  readonly host?: '127.0.0.1'
  /** Replaces the script's vars of the same name. */
  readonly vars?: Readonly<Record<string, string>>
  /** Called when the reply is decided, before its first byte; a promise holds the answer back until it is fulfilled. */
  readonly onCall?: (call: RecordedCall) => void | Promise<void>
}

export interface ScriptedModel {
  /** Without a path and without a slash at its end. */
  readonly url: string
  readonly port: number
  /** The newest 1,000 calls, oldest first. */
  calls(): readonly RecordedCall[]
  /** Ends every connection, also those in the middle of an answer. */
  close(): Promise<void>
}

const BODY_BYTES_MAX = 32 * 1024 * 1024
const HEADERS_TIMEOUT_MS = 30_000
/** Longer than Node's 5 s, so that a client that pauses does not meet a connection that is just being closed. */
const KEEP_ALIVE_MS = 60_000

/** Serves a script. Throws `script.invalid`, or `hub.port_in_use` when the port is taken. */
export async function startScriptedModel(options: ScriptedModelOptions): Promise<ScriptedModel> {
  const { script: source, port = 0, host = '127.0.0.1', vars = {}, onCall = () => undefined } = options
  const script = typeof source === 'string' ? await loadScript(source, vars) : parseScript(source.name, source.text, vars)
  const context: Context = { script, cache: new PromptCache(), failures: new Map(), onCall }
  const log = new CallLog()
  const server = createServer(
    { headersTimeout: HEADERS_TIMEOUT_MS, keepAliveTimeout: KEEP_ALIVE_MS },
    (request, response) => void handle(context, log, request, response),
  )
  await listen(server, port, host)
  const bound = (server.address() as AddressInfo).port
  return {
    url: `http://${host}:${bound}`,
    port: bound,
    calls: () => log.all(),
    close: () => close(server),
  }
}

async function handle(context: Context, log: CallLog, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const requestId = `req_01${randomBytes(11).toString('hex')}`
  response.setHeader('request-id', requestId)
  // A client that goes away shows as `close` of the response; nothing else is to be done about a broken connection.
  response.on('error', () => undefined)
  let call: OpenCall | undefined
  try {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    const text = await readBody(request)
    if (request.method === 'HEAD' && (pathname === '/' || pathname === '/api/hello')) {
      response.writeHead(200).end()
      return
    }
    const body = parseJson(text)
    if (request.method === 'POST') call = log.open('POST', request.url ?? '/', request.headers, text, body ?? null)
    checkKey(context.script, request)
    await route(context, call, request, response, pathname, body, requestId)
  } catch (error) {
    if (call !== undefined) call.outcome = request.socket.destroyed ? 'abandoned' : 'error'
    fail(response, requestId, error, call)
  }
}

async function route(
  context: Context,
  call: OpenCall | undefined,
  request: IncomingMessage,
  response: ServerResponse,
  pathname: string,
  body: unknown,
  requestId: string,
): Promise<void> {
  const { method } = request
  if (method === 'GET' && pathname === '/v1/models') return json(response, 200, modelList(context.script))
  if (method === 'GET' && pathname.startsWith('/v1/models/')) return json(response, 200, knownModel(context.script, pathname.slice('/v1/models/'.length)))
  if (pathname !== '/v1/messages' && pathname !== '/v1/messages/count_tokens') throw new ProviderError(404, 'Not Found')
  if (call === undefined) throw new ProviderError(405, 'Method Not Allowed', { type: 'invalid_request_error', headers: { allow: 'POST' } })
  if (request.headers['anthropic-version'] === undefined) throw new ProviderError(400, 'anthropic-version: header is required')
  if (body === undefined) throw new ProviderError(400, 'The request body is not valid JSON')
  const counting = pathname.endsWith('/count_tokens')
  const parsed = parseRequest(body, counting)
  knownModel(context.script, parsed.model)
  if (!counting) return answerMessages(context, call, parsed, response, requestId)
  await context.onCall(call)
  call.status = 200
  call.outcome = 'answered'
  json(response, 200, { input_tokens: countInput(parsed) })
}

function fail(response: ServerResponse, requestId: string, thrown: unknown, call: OpenCall | undefined): void {
  const error = thrown instanceof ProviderError ? thrown : new ProviderError(500, thrown instanceof Error ? thrown.message : String(thrown))
  if (response.headersSent || response.destroyed) {
    response.destroy()
    return
  }
  if (call !== undefined) Object.assign(call, { status: error.status, usage: null })
  json(response, error.status, error.body(requestId), error.headers)
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    // The rest is read and dropped, because a client that still sends would not see the answer.
    if (bytes <= BODY_BYTES_MAX) chunks.push(chunk)
  }
  if (bytes > BODY_BYTES_MAX) throw new ProviderError(413, 'Request exceeds the maximum size')
  return Buffer.concat(chunks)
}

function parseJson(text: Buffer): unknown {
  try {
    return JSON.parse(text.toString('utf8')) as unknown
  } catch {
    return undefined
  }
}

function checkKey({ apiKey }: Script, { headers }: IncomingMessage): void {
  if (apiKey === undefined) return
  const key = headers['x-api-key']
  const bearer = headers.authorization?.replace(/^Bearer /i, '')
  if (key === apiKey || bearer === apiKey) return
  if (key !== undefined) throw new ProviderError(401, 'invalid x-api-key')
  throw new ProviderError(401, bearer === undefined ? 'x-api-key header is required' : 'Invalid bearer token')
}

function knownModel({ models }: Script, id: string): unknown {
  if (models !== undefined && !models.includes(id)) throw new ProviderError(404, `model: ${id}`)
  return { type: 'model', id, display_name: id, created_at: '2026-01-01T00:00:00Z' }
}

function modelList(script: Script): unknown {
  const data = (script.models ?? []).map((id) => knownModel(script, id))
  const ids = data.map((model) => (isObject(model) ? model['id'] : null))
  return { data, has_more: false, first_id: ids[0] ?? null, last_id: ids.at(-1) ?? null }
}

async function listen(server: Server, port: number, host: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', (cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'EADDRINUSE') reject(cause)
    else reject(new AutovibeError('hub.port_in_use', `Port ${port} is in use.`, { cause, fix: 'Name another port, or 0 for a free one: --port 0' }))
  })
  server.listen(port, host, resolve)
  await promise
}

async function close(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  server.close(() => resolve())
  server.closeAllConnections()
  await promise
}
