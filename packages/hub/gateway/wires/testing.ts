/** What the tests of the wires send through them. */
import type { AutovibeError } from '@autovibe/contract'
import { type JsonBody, parseBody } from '../request-body.ts'
import type { CallFacts, StreamTap, Wire } from './wire.ts'

export interface Sent {
  readonly raw: Buffer
  readonly body: JsonBody
  readonly facts: CallFacts
}

/** Reads a request as the gateway does, from its text or from the object that it is. */
export function send(wire: Wire, request: object | string): Sent {
  const raw = Buffer.from(typeof request === 'string' ? request : JSON.stringify(request))
  const body = parseBody(raw)
  return { raw, body, facts: wire.readFacts(body, raw.length) }
}

/** The text that goes out for a request when so much output is granted. */
export function outgoingText(wire: Wire, { raw, body, facts }: Sent, grantedTokens: bigint): string {
  const out = wire.outgoing(body, raw, facts, grantedTokens)
  return typeof out === 'string' ? out : Buffer.from(out).toString('utf8')
}

/** Feeds a stream to a tap in pieces of these lengths (the last one as often as needed), and returns what the client saw. */
export function feed(tap: StreamTap, stream: string, lengths: readonly number[]): string {
  const bytes = Buffer.from(stream)
  const seen: Uint8Array[] = []
  let from = 0
  for (let turn = 0; from < bytes.length; turn++) {
    const length = Math.max(1, lengths[Math.min(turn, lengths.length - 1)] ?? bytes.length)
    seen.push(tap.push(bytes.subarray(from, from + length)))
    from += length
  }
  seen.push(tap.end())
  return Buffer.concat(seen).toString('utf8')
}

/** What a tap has found out. */
export const findings = ({ usage, ended, refusedBeforeStart }: StreamTap) => ({ usage, ended, refusedBeforeStart })

export const codeOf = (read: () => unknown): string => {
  try {
    read()
    return 'ok'
  } catch (error) {
    return (error as AutovibeError).code
  }
}
