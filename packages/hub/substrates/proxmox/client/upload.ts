/** A file on its way to a storage: multipart as Proxmox's server reads it, piece by piece, with its length told before. */
import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type Written, written } from './form.ts'
import { UPLOAD } from './template-endpoints.ts'

export interface Upload {
  readonly node: string
  readonly storage: string
  readonly content: 'iso' | 'import'
  readonly filename: string
  readonly file: { readonly path: string; readonly sizeBytes: number; readonly sha256: string }
}

const PIECE_BYTES = 256 * 1024
const FILENAME = /^[A-Za-z0-9][A-Za-z0-9._+=-]{0,200}$/

/** The file comes last: Proxmox reads the fields before it, and takes its name from its part. */
export function uploadOf({ node, storage, content, filename, file }: Upload): Written {
  if (!FILENAME.test(filename)) throw new RangeError(`${JSON.stringify(filename)} cannot be the name of an upload`)
  const boundary = `autovibe${randomBytes(16).toString('hex')}`
  const fields = { content, 'checksum-algorithm': 'sha256', checksum: file.sha256 }
  const before = Buffer.from(
    `${Object.entries(fields)
      .map(([name, value]) => `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`)
      .join('')}--${boundary}\r\nContent-Disposition: form-data; name="filename"; filename="${filename}"\r\nContent-Type: application/octet-stream\r\n\r\n`,
  )
  const behind = Buffer.from(`\r\n--${boundary}--\r\n`)
  return {
    ...written(UPLOAD, { node, storage }),
    body: {
      contentType: `multipart/form-data; boundary=${boundary}`,
      sizeBytes: before.length + file.sizeBytes + behind.length,
      open: async function* () {
        yield before
        yield* createReadStream(file.path, { highWaterMark: PIECE_BYTES, end: Math.max(0, file.sizeBytes - 1) }) as AsyncIterable<Buffer>
        yield behind
      },
    },
  }
}
