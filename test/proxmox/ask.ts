/** A plain client of the stand-in for its tests: one request, its whole answer; and a task followed to its end. */
import { Agent, request } from 'node:https'
import { until } from '../support/until.ts'
import type { ProxmoxStandIn } from './stand-in.ts'

const TASK_MS = 20_000

export interface Answer {
  readonly status: number
  readonly reason: string
  readonly body: string
  // biome-ignore lint/suspicious/noExplicitAny: the tests look into answers of every shape
  readonly data: any
  readonly total: number | undefined
  readonly errors: Readonly<Record<string, string>> | undefined
  readonly message: string | undefined
}

export interface Sent {
  readonly headers?: Readonly<Record<string, string>>
  readonly json?: unknown
  /** A body as it is. */
  readonly raw?: string | Buffer
  readonly door?: string
}
export type Fields = Readonly<Record<string, string | number | readonly string[]>>

export interface Asker {
  ask(method: string, path: string, fields?: Fields, sent?: Sent): Promise<Answer>
  get(path: string, fields?: Fields): Promise<Answer>
  post(path: string, fields?: Fields): Promise<Answer>
  /** Posts (or sends) and answers the exit status of the task that came of it; a refusal throws its message. */
  task(method: string, path: string, fields?: Fields): Promise<string>
  /** The exit status of a task that runs. */
  ended(upid: string): Promise<string>
}

export function asker(pve: ProxmoxStandIn, token: string | null = pve.adminToken): Asker {
  const agent = new Agent({ rejectUnauthorized: false, keepAlive: true })
  const ask = (method: string, path: string, fields: Fields = {}, sent: Sent = {}): Promise<Answer> => send(pve, agent, token, method, path, fields, sent)
  const ended = (upid: string): Promise<string> =>
    until(`${upid} ends`, TASK_MS, async () => {
      const { data, reason } = await send(pve, agent, pve.adminToken, 'GET', `/nodes/${upid.split(':')[1]}/tasks/${encodeURIComponent(upid)}/status`, {}, {})
      if (data === null) return `no answer: ${reason}`
      return data.status === 'stopped' ? String(data.exitstatus) : undefined
    })
  return {
    ask,
    get: (path, fields) => ask('GET', path, fields),
    post: (path, fields) => ask('POST', path, fields),
    ended,
    task: async (method, path, fields) => {
      const answer = await ask(method, path, fields)
      if (answer.status !== 200) throw new Error(`${answer.status} ${answer.reason} ${JSON.stringify(answer.errors ?? {})}`)
      return ended(String(answer.data))
    },
  }
}

export const form = (fields: Fields): string =>
  Object.entries(fields)
    .flatMap(([key, value]) => (Array.isArray(value) ? value : [value]).map((each) => `${encodeURIComponent(key)}=${encodeURIComponent(String(each))}`))
    .join('&')

function send(pve: ProxmoxStandIn, agent: Agent, token: string | null, method: string, path: string, fields: Fields, sent: Sent): Promise<Answer> {
  const inBody = (method === 'POST' || method === 'PUT') && sent.raw === undefined && sent.json === undefined
  const text = sent.raw ?? (sent.json === undefined ? (inBody ? form(fields) : '') : JSON.stringify(sent.json))
  const query = !inBody && Object.keys(fields).length > 0 ? `?${form(fields)}` : ''
  const headers: Record<string, string> = {
    ...(token === null ? {} : { Authorization: `PVEAPIToken=${token}` }),
    ...(text.length === 0
      ? {}
      : {
          'Content-Type': sent.json === undefined ? 'application/x-www-form-urlencoded' : 'application/json',
          'Content-Length': String(Buffer.byteLength(text)),
        }),
    ...sent.headers,
  }
  const url = `${(sent.door === undefined ? undefined : pve.urls.get(sent.door)) ?? pve.url}/api2/json${path}${query}`
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, headers, agent, timeout: 30_000 }, (incoming) => {
      const chunks: Buffer[] = []
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
      incoming.on('end', () => resolve(answerOf(incoming.statusCode ?? 0, incoming.statusMessage ?? '', Buffer.concat(chunks).toString('utf8'))))
      incoming.on('error', reject)
    })
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer came')))
    outgoing.on('error', reject)
    outgoing.end(text)
  })
}

function answerOf(status: number, reason: string, body: string): Answer {
  const parsed = (body.startsWith('{') ? JSON.parse(body) : {}) as Partial<Answer>
  return { status, reason, body, data: parsed.data ?? null, total: parsed.total, errors: parsed.errors, message: parsed.message }
}
