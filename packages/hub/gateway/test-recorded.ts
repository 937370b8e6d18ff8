/** Answers of the vendors to replay byte for byte: fixtures/ holds them as their published types and documents say that they are sent. */
import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { UpstreamAnswer } from './testing.ts'

/** The bytes of a fixture. */
export const recorded = (name: string): Buffer => readFileSync(new URL(`./fixtures/${name}`, import.meta.url))

/** How a stream is cut into the pieces that it is sent in. */
export const SPLITS = {
  whole: (bytes) => [bytes],
  'event by event': (bytes) =>
    bytes
      .toString('latin1')
      .split(/(?<=\n\n)/)
      .map((event) => Buffer.from(event, 'latin1')),
  'in pieces of 97 bytes, through letters and line breaks': (bytes) => piecesOf(bytes, 97),
  'byte by byte': (bytes) => piecesOf(bytes, 1),
} as const satisfies Record<string, (bytes: Buffer) => Buffer[]>

function piecesOf(bytes: Buffer, length: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / length) }, (_, index) => bytes.subarray(index * length, (index + 1) * length))
}

/** Answers with a fixture: a stream in the pieces of this split, anything else as a whole. */
export function replay(name: string, split: keyof typeof SPLITS = 'event by event'): UpstreamAnswer {
  const bytes = recorded(name)
  return async (_, res) => {
    if (!name.endsWith('.sse')) return void head(res, 'application/json').end(bytes)
    head(res, 'text/event-stream; charset=utf-8')
    for (const piece of SPLITS[split](bytes)) {
      res.write(piece)
      // Each piece leaves in a packet of its own.
      await nextTurn()
    }
    res.end()
  }
}

function head(res: ServerResponse, type: string): ServerResponse {
  res.socket?.setNoDelay(true)
  return res.writeHead(200, {
    'content-type': type,
    'cache-control': 'no-cache',
    'request-id': 'req_011CVxQ7ZkW4tPnHsYbR9mLd',
    'x-request-id': 'req_7d3a91c0be',
  })
}
