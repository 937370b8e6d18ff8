/** A name server for tests, as far as the wire needs it (RFC 1035): A, AAAA and CNAME from a table, another answer each time where the table says so. */
import type { RemoteInfo, Socket } from 'node:dgram'
import { parseAddress } from '@autovibe/core/egress/address.ts'

/** Answers by name, one list for each time it is asked (the last one from then on); a text that is no address is a CNAME. */
export type Names = Readonly<Record<string, readonly (readonly string[])[]>>

const [A, CNAME, AAAA] = [1, 5, 28]

/** Answers on a bound socket. */
export function serveNames(socket: Socket, names: Names): void {
  const times = new Map<string, number>()
  socket.on('message', (query: Buffer, from: RemoteInfo) => {
    const { name, end } = readName(query, 12)
    const type = query.readUInt16BE(end)
    const answers = names[name.toLowerCase()]
    const key = `${name} ${type}`
    const time = times.get(key) ?? 0
    times.set(key, time + 1)
    const records = answers ? recordsOf(name, type, answers[Math.min(time, answers.length - 1)] ?? [], names) : []
    const header = Buffer.alloc(12)
    header.writeUInt16BE(query.readUInt16BE(0), 0)
    // An answer with recursion; no such name where the table has none.
    header.writeUInt16BE(answers ? 0x8180 : 0x8183, 2)
    header.writeUInt16BE(1, 4)
    header.writeUInt16BE(records.length, 6)
    socket.send(Buffer.concat([header, query.subarray(12, end + 4), ...records]), from.port, from.address)
  })
}

function recordsOf(name: string, type: number, answers: readonly string[], names: Names): Buffer[] {
  return answers.flatMap((text) => {
    const address = parseAddress(text)
    if (!address) return [record(name, CNAME, writeName(text)), ...recordsOf(text, type, names[text]?.[0] ?? [], names)]
    if (type !== (address.family === 4 ? A : AAAA)) return []
    const bytes = Buffer.from(address.bits.toString(16).padStart(address.family === 4 ? 8 : 32, '0'), 'hex')
    return [record(name, type, bytes)]
  })
}

function record(name: string, type: number, data: Buffer): Buffer {
  const middle = Buffer.alloc(10)
  middle.writeUInt16BE(type, 0)
  middle.writeUInt16BE(1, 2)
  middle.writeUInt16BE(data.length, 8)
  return Buffer.concat([writeName(name), middle, data])
}

const writeName = (name: string): Buffer =>
  Buffer.concat([...name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)])), Buffer.from([0])])

function readName(message: Buffer, start: number): { name: string; end: number } {
  const labels: string[] = []
  let at = start
  for (let length = message.readUInt8(at); length > 0; length = message.readUInt8(at)) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length))
    at += length + 1
  }
  return { name: labels.join('.'), end: at + 1 }
}
