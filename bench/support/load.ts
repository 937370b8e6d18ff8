/** A keep-alive HTTP client that keeps so many connections busy and notes how long each answer took. */
import { Agent, type RequestOptions, request } from 'node:http'

export interface Answer {
  /** Until the first byte of the body. */
  readonly firstByteMs: number
  /** Until the last. */
  readonly ms: number
  readonly status: number
  readonly bytes: number
}

export interface Load {
  /** Where connection `index` goes: address, path, headers. */
  readonly to: (index: number) => RequestOptions
  readonly body?: Buffer
  readonly connections: number
  /** In all, over the connections together. */
  readonly requests: number
}

export interface Loaded {
  readonly answers: readonly Answer[]
  readonly perSecond: number
}

/** Each connection sends its next request when the last was answered. Rejects on any status but 200. */
export async function load({ to, body, connections, requests }: Load): Promise<Loaded> {
  const answers: Answer[] = []
  let left = requests
  const startedAt = performance.now()
  await Promise.all(
    Array.from({ length: connections }, async (_, index) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      try {
        while (left-- > 0) answers.push(await ask({ ...to(index), agent }, body))
      } finally {
        agent.destroy()
      }
    }),
  )
  return { answers, perSecond: (answers.length * 1000) / (performance.now() - startedAt) }
}

function ask(options: RequestOptions, body: Buffer | undefined): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now()
    const sent = request(
      { ...options, method: body ? 'POST' : 'GET', headers: { ...options.headers, ...(body ? { 'content-length': body.length } : {}) } },
      (response) => {
        let firstByteMs = 0
        let bytes = 0
        let said = ''
        response.on('data', (chunk: Buffer) => {
          if (bytes === 0) firstByteMs = performance.now() - startedAt
          bytes += chunk.length
          if (response.statusCode !== 200 && said.length < 1000) said += chunk.toString()
        })
        response.once('error', reject)
        response.once('end', () => {
          if (response.statusCode === 200) resolve({ firstByteMs, ms: performance.now() - startedAt, status: 200, bytes })
          else reject(new Error(`${options.path} was answered with ${response.statusCode}: ${said}`))
        })
      },
    )
    sent.once('error', reject)
    sent.end(body)
  })
}
