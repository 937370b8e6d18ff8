/** The upstream of every peer: a process of its own that answers with ready-made bytes, at once, paced, or with a gibibyte. */
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { answerParent } from '../support/child.ts'
import { type Message, MessageReader } from '../support/message-reader.ts'
import { AGENT_EVENTS, agentEvents, deltaEvent, FLOOD, PACE_MS, PACED, smallAnswer } from './shapes.ts'

export interface UpstreamOptions {
  /** How long the body of a flood is. */
  readonly floodBytes: number
  /** How many events a paced stream has. */
  readonly pacedEvents: number
}

/** Answers with the port. */
function serve({ floodBytes, pacedEvents }: UpstreamOptions): Promise<number> {
  const paced = agentEvents(pacedEvents).map((event) => Buffer.from(chunk(event)))
  const server = createServer({ noDelay: true }, (socket) => {
    const reader = new MessageReader({ keeps: () => true, onMessage: (message) => answer(socket, message, paced, floodBytes) })
    socket.on('data', (piece) => {
      try {
        reader.push(piece as Buffer)
      } catch (error) {
        socket.destroy(error as Error)
      }
    })
    // A peer may break a connection off; the call that it was for fails where it was made.
    socket.on('error', () => socket.destroy())
  })
  return new Promise((resolve) => server.listen(0, '127.0.0.1', 4096, () => resolve((server.address() as AddressInfo).port)))
}

const STREAM_HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n'
const LAST_CHUNK = '0\r\n\r\n'
const chunk = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`

const EVENTS = agentEvents(AGENT_EVENTS)
const AT_ONCE = Buffer.from(`${STREAM_HEAD}${EVENTS.map(chunk).join('')}${LAST_CHUNK}`)
const SMALL = Buffer.from(`HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(smallAnswer)}\r\n\r\n${smallAnswer}`)

function answer(socket: Socket, { head, body }: Message, paced: readonly Buffer[], floodBytes: number): void {
  const path = head.split(' ', 2)[1] ?? ''
  if (path.startsWith(PACED)) pace(socket, paced)
  else if (path.startsWith(FLOOD)) flood(socket, floodBytes)
  // Peers that write the request anew put a space there.
  else socket.write(body.includes('"stream":true') || body.includes('"stream": true') ? AT_ONCE : SMALL)
}

function pace(socket: Socket, chunks: readonly Buffer[]): void {
  const next = chunks.values()
  socket.write(STREAM_HEAD)
  const writeNext = () => {
    const { value, done } = next.next()
    if (!done && !socket.destroyed) return void socket.write(value)
    clearInterval(timer)
    socket.write(LAST_CHUNK)
  }
  const timer = setInterval(writeNext, PACE_MS)
  writeNext()
}

/** As fast as it is taken: small events, many to a piece. */
function flood(socket: Socket, bytes: number): void {
  const [head, tail] = [EVENTS.slice(0, 3), EVENTS.slice(-3)]
  const events = Array.from({ length: 256 }, (_, index) => deltaEvent(index))
  const piece = Buffer.from(events.map(chunk).join(''))
  socket.write(STREAM_HEAD + head.map(chunk).join(''))
  let left = Math.ceil(bytes / events.join('').length)
  const writeOn = () => {
    while (left > 0 && !socket.destroyed) {
      left--
      if (!socket.write(piece)) return void socket.once('drain', writeOn)
    }
    socket.write(tail.map(chunk).join('') + LAST_CHUNK)
  }
  writeOn()
}

answerParent(serve)
