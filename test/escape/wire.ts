/** Bytes on a machine's socket as a hostile agent writes them, and parsers that believe too much, to prove that the bytes would deceive somebody. */
import { connect, type Socket } from 'node:net'

const ANSWER_TIMEOUT_MS = 20_000

export interface Heard {
  readonly statuses: readonly number[]
  readonly text: string
}

/** Writes the bytes, and hears out what comes until the other side closes or `enough` answers have come. */
export function say(socketPath: string, bytes: string | Buffer, enough = Number.POSITIVE_INFINITY): Promise<Heard> {
  const { promise, resolve, reject } = Promise.withResolvers<Heard>()
  const socket = connect(socketPath)
  let text = ''
  const statuses = (): number[] => [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
  const timer = setTimeout(() => socket.destroy(new Error(`no end of the answer: ${text.slice(0, 500)}`)), ANSWER_TIMEOUT_MS)
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
    if (statuses().length >= enough) socket.destroy()
  })
  socket.on('error', (error: NodeJS.ErrnoException) => {
    // The door closes what it will not hear; what it said before counts.
    if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error)
  })
  socket.on('close', () => {
    clearTimeout(timer)
    resolve({ statuses: statuses(), text })
  })
  socket.write(bytes)
  return promise
}

/** A connection that stays open. */
export function hold(socketPath: string, bytes: string): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>()
  const socket = connect(socketPath, () => {
    socket.write(bytes)
    resolve(socket)
  })
  socket.once('error', reject)
  return promise
}

type Length = (head: string, rest: string) => number

/** The paths of the requests that a parser finds which takes a body's length from one header alone and is content with any line end. */
function paths(bytes: string, bodyLength: Length): string[] {
  const found: string[] = []
  for (let rest = bytes; rest !== ''; ) {
    const end = /\r?\n\r?\n/.exec(rest)
    if (end === null) break
    const head = rest.slice(0, end.index)
    found.push(/(?:GET|POST) (\S+) HTTP/.exec(head)?.[1] ?? '')
    rest = rest.slice(end.index + end[0].length)
    rest = rest.slice(bodyLength(head, rest))
  }
  return found
}

const lengths = (head: string): number[] => [...head.matchAll(/^content-length\s*:\s*(\d+)/gim)].map(([, length]) => Number(length))
const chunked = (rest: string): number => /(?:^|\r?\n)0\r?\n\r?\n/.exec(rest)?.index ?? 0

/** Some front or back end that exists somewhere: each believes one thing and ignores the rest. */
export const CREDULOUS: Readonly<Record<string, (bytes: string) => string[]>> = {
  'the first length': (bytes) => paths(bytes, (head) => lengths(head)[0] ?? 0),
  'the last length': (bytes) => paths(bytes, (head) => lengths(head).at(-1) ?? 0),
  'chunks only': (bytes) =>
    paths(bytes, (head, rest) => {
      if (!/chunked/i.test(head)) return 0
      return chunked(rest) + (/(?:^|\r?\n)0\r?\n\r?\n/.exec(rest)?.[0].length ?? 0)
    }),
}
