import { deepEqual, equal, throws } from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Message, MessageReader } from './message-reader.ts'

const SIZED = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'
const EMPTY = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'
const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1B;x=1\r\n, how are you this morning?\r\n0\r\nx-sum: 1\r\n\r\n'

function read(pieces: readonly Buffer[]): { messages: Message[]; firstBytes: number } {
  const messages: Message[] = []
  let firstBytes = 0
  const reader = new MessageReader({ keeps: () => true, onMessage: (message) => messages.push(message), onFirstByte: () => firstBytes++ })
  for (const piece of pieces) {
    reader.push(piece)
    piece.fill(0)
  }
  return { messages, firstBytes }
}

test('messages with a length and in chunks are read wherever the network cuts them and whatever becomes of the bytes', () => {
  const text = SIZED + CHUNKED + EMPTY + SIZED
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: text.length - 1 }), { maxLength: 8 }), (cuts) => {
      const places = [0, ...cuts.sort((a, b) => a - b), text.length]
      const { messages, firstBytes } = read(places.slice(1).map((end, index) => Buffer.from(text.slice(places[index], end))))
      deepEqual(
        messages.map(({ body, bytes }) => [body.toString(), bytes]),
        [
          ['hello', 5],
          ['hello, how are you this morning?', 32],
          ['', 0],
          ['hello', 5],
        ],
      )
      equal(firstBytes, 3)
    }),
  )
})

test('a message that is not at its end yet is not told', () => {
  deepEqual(read([Buffer.from(SIZED.slice(0, -1))]).messages, [])
  deepEqual(read([Buffer.from(CHUNKED.slice(0, -2))]).messages, [])
})

test('a message whose end cannot be known is refused', () => {
  throws(() => read([Buffer.from('HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello')]), /neither a length nor chunks/)
  throws(() => read([Buffer.alloc(70_000, 'x')]), /no end of its headers/)
})
