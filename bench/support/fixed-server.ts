/** A bare node:http server on a thread of its own that answers every request with the same bytes, in one piece or in several. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

export interface FixedAnswer {
  readonly contentType: string
  /** Written one after the other, each as soon as the one before was taken. */
  readonly pieces: readonly string[]
}

export interface FixedServer extends AsyncDisposable {
  readonly url: string
  readonly port: number
}

/** Answers by the request's path; any path that is not named gets the answer of `*`. The request's body is read to its end first. */
export async function startFixedServer(answers: Readonly<Record<string, FixedAnswer>>): Promise<FixedServer> {
  const worker = new Worker(new URL(import.meta.url), { workerData: { answers } })
  const [port] = (await once(worker, 'message')) as [number]
  return { url: `http://127.0.0.1:${port}`, port, [Symbol.asyncDispose]: async () => void (await worker.terminate()) }
}

if (!isMainThread && parentPort) {
  const { answers } = workerData as { answers: Readonly<Record<string, FixedAnswer>> }
  const server = createServer({ keepAliveTimeout: 60_000 }, async (request, response) => {
    for await (const _ of request);
    const answer = answers[request.url ?? ''] ?? answers['*']
    if (!answer) return response.writeHead(404).end()
    const [only, ...more] = answer.pieces
    response.writeHead(200, { 'content-type': answer.contentType, ...(more.length === 0 ? { 'content-length': Buffer.byteLength(only ?? '') } : {}) })
    for (const piece of answer.pieces) if (!response.write(piece)) await once(response, 'drain')
    return response.end()
  })
  server.listen(0, '127.0.0.1', () => parentPort?.postMessage((server.address() as AddressInfo).port))
}
