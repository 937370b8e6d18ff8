/** A server on loopback that says what a test wants it to say, and remembers what it was asked. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Problem } from '@autovibe/contract'
import { Autovibe } from './client.ts'

export interface Asked {
  readonly method: string
  readonly url: URL
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export type Answer = (asked: Asked, response: ServerResponse, index: number) => unknown

export interface TestHub extends AsyncDisposable {
  readonly url: string
  readonly asked: Asked[]
  readonly client: Autovibe
  answer: Answer
}

export async function startTestHub(answer: Answer): Promise<TestHub> {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const one: Asked = {
        method: request.method ?? '',
        url: new URL(request.url ?? '/', 'http://test'),
        headers: request.headers,
        body: Buffer.concat(chunks).toString('latin1'),
      }
      asked.push(one)
      void Promise.resolve(hub.answer(one, response, asked.length - 1)).catch(() => response.destroy())
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const hub: TestHub = {
    url,
    asked,
    answer,
    client: new Autovibe({ url, key: 'avk_test', userAgent: 'test/1' }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return hub
}

export const json = (response: ServerResponse, body: unknown, status = 200, headers: Record<string, string> = {}): void => {
  response.writeHead(status, { 'content-type': status < 400 ? 'application/json' : 'application/problem+json', ...headers }).end(JSON.stringify(body))
}

export const problem = (code: string, status: number, more: Partial<Problem> = {}): Problem => ({
  type: `urn:autovibe:error:${code}`,
  title: 't',
  status,
  detail: `it was ${code}`,
  code,
  retryable: false,
  ...more,
})
