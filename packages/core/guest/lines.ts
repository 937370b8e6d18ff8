/** The lines by which guest and gate meet, before the connection is given to whoever it is for. */
import { once } from 'node:events'
import type { Duplex } from 'node:stream'

const LINE_END = 0x0a

/** Reads one without its end, and gives back what came behind it. Throws for a line that is longer, or a stream that ends before it does. */
export async function readLine(stream: Duplex, mostBytes: number, signal: AbortSignal): Promise<string> {
  let bytes = Buffer.alloc(0)
  for (;;) {
    signal.throwIfAborted()
    const chunk = stream.read() as Buffer | null
    if (chunk === null) {
      if (stream.readableEnded || stream.destroyed) throw new Error('the stream ended early')
      const turn = new AbortController()
      try {
        await Promise.race(['readable', 'end', 'close'].map((event) => once(stream, event, { signal: AbortSignal.any([signal, turn.signal]) })))
      } finally {
        turn.abort()
      }
      continue
    }
    bytes = Buffer.concat([bytes, chunk])
    const end = bytes.indexOf(LINE_END)
    if (end === -1 && bytes.length <= mostBytes) continue
    if (end === -1 || end > mostBytes) throw new Error(`a line is longer than ${mostBytes} bytes`)
    if (end + 1 < bytes.length) stream.unshift(bytes.subarray(end + 1))
    return bytes.subarray(0, end).toString('utf8')
  }
}

/** Returns when it is out of this process's hands: an HTTP/2 session that takes a connection over cannot bear a write that is under way. */
export function writeLine(stream: Duplex, line: string, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onAbort = (): void => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  stream.write(`${line}\n`, (error) => (error ? reject(error) : resolve()))
  return promise.finally(() => signal.removeEventListener('abort', onAbort))
}
