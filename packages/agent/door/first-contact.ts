/** The first registration, spoken on a bare socket: loading node:http takes longer than all else that a machine does before the Hub knows it. */
import { createConnection } from 'node:net'
import type { Registered, RegisterMachine } from '@autovibe/contract'

const ANSWER_MS = 5_000
const ANSWER_CHARS_MAX = 64 * 1024

/** One try; undefined when anything at all is not as expected, and then the ordinary way (register.ts) finds out why. */
export function firstContact(socketPath: string, token: string, body: RegisterMachine): Promise<Registered | undefined> {
  const json = JSON.stringify(body)
  const socket = createConnection(socketPath)
  socket.setEncoding('utf8')
  socket.setTimeout(ANSWER_MS, () => socket.destroy())
  socket.write(
    `POST /door/register HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(json)}\r\nConnection: close\r\n\r\n${json}`,
  )
  let answer = ''
  return new Promise((resolve) => {
    const finish = (): void => resolve(readAnswer(answer))
    socket.on('data', (chunk: string) => {
      answer += chunk
      if (answer.length > ANSWER_CHARS_MAX) socket.destroy()
    })
    socket.on('error', finish)
    socket.on('close', finish)
  })
}

function readAnswer(answer: string): Registered | undefined {
  const end = answer.indexOf('\r\n\r\n')
  if (end < 0 || !/^HTTP\/1\.1 20[01] /.test(answer)) return undefined
  const [first, last] = [answer.indexOf('{', end), answer.lastIndexOf('}')]
  try {
    // From brace to brace: the same whether the body came whole or as one chunk.
    const value: unknown = JSON.parse(answer.slice(first, last + 1))
    return isRegistered(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** By hand, because the schema would load Zod. */
export function isRegistered(value: unknown): value is Registered {
  if (typeof value !== 'object' || value === null || !('machine_id' in value) || !('heartbeat_ms' in value)) return false
  return typeof value.machine_id === 'string' && typeof value.heartbeat_ms === 'number' && value.heartbeat_ms >= 1
}
