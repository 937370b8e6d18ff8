/** Reads a request's body within its bound, and its JSON only if it has one meaning. */
import type { IncomingMessage } from 'node:http'
import { AutovibeError } from '@autovibe/contract'
import { type JsonScan, scanJson } from '@autovibe/core/budgets/json-text.ts'
import { LIMITS } from './limits.ts'

/** The whole body; `request.too_large` above the limit, without reading on. */
export async function readBody(req: IncomingMessage): Promise<Buffer> {
  if (Number(req.headers['content-length'] ?? 0) > LIMITS.requestBytes) throw tooLarge()
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    // Listeners instead of an iterator, which takes as long again as all that comes after.
    req.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size <= LIMITS.requestBytes) chunks.push(chunk)
      else {
        req.pause()
        reject(tooLarge())
      }
    })
    req.once('end', () => resolve(Buffer.concat(chunks, size)))
    req.once('error', reject)
    req.once('close', () => {
      // Every request closes; an error takes its stack along, and costs more than all else here.
      if (!req.complete) reject(new Error('the client broke off its request'))
    })
  })
}

export interface JsonBody {
  readonly text: string
  readonly value: unknown
  readonly scan: JsonScan
}

/**
 * Parses the body; `request.invalid` when it is no JSON in UTF-8, too deep, names a key twice or in disguise: another reader might take another value,
 * and the price was made for this one.
 */
export function parseBody(body: Buffer): JsonBody {
  let text: string
  let value: unknown
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)
    value = JSON.parse(text)
  } catch (cause) {
    throw new AutovibeError('request.invalid', 'The body is not JSON in UTF-8.', { cause })
  }
  const scan = scanJson(text)
  if (scan.tooDeep) throw new AutovibeError('request.invalid', 'The body is nested too deeply.')
  if (scan.duplicateKey !== null)
    throw new AutovibeError('request.invalid', `The body has the key ${JSON.stringify(scan.duplicateKey.slice(0, 100))} twice in one object.`)
  if (scan.disguisedKey !== null)
    throw new AutovibeError('request.invalid', `The body spells letters of the key ${JSON.stringify(scan.disguisedKey.slice(0, 100))} as escapes.`)
  return { text, value, scan }
}

function tooLarge(): AutovibeError {
  return new AutovibeError('request.too_large', `The request is larger than ${LIMITS.requestBytes / 1024 / 1024} MiB.`)
}
