/** The list of chunks that make up a large content: its SHA-256, then SHA-256 and length of each chunk, in order. */
import { corrupt } from '../store-errors.ts'
import { SHA256_BYTES } from './format.ts'

const ROW_BYTES = SHA256_BYTES + 4

export interface Chunk {
  readonly sha256: string
  readonly bytes: number
}

export function encodeList(sha256: string, chunks: readonly Chunk[]): Buffer {
  const list = Buffer.allocUnsafe(SHA256_BYTES + chunks.length * ROW_BYTES)
  list.write(sha256, 0, 'hex')
  for (const [index, chunk] of chunks.entries()) {
    const at = SHA256_BYTES + index * ROW_BYTES
    list.write(chunk.sha256, at, 'hex')
    list.writeUInt32LE(chunk.bytes, at + SHA256_BYTES)
  }
  return list
}

/** `checkpoint.corrupt` when this is no list of this content. */
export function decodeList(sha256: string, list: Buffer): Chunk[] {
  const rows = (list.length - SHA256_BYTES) / ROW_BYTES
  if (!Number.isInteger(rows) || rows < 1 || list.toString('hex', 0, SHA256_BYTES) !== sha256) throw corrupt(`The list of chunks of ${sha256} is not one.`)
  return Array.from({ length: rows }, (_, index) => {
    const at = SHA256_BYTES + index * ROW_BYTES
    return { sha256: list.toString('hex', at, at + SHA256_BYTES), bytes: list.readUInt32LE(at + SHA256_BYTES) }
  })
}
