/** The plain bytes of an archive that may be packed with gzip or zstd, told by its first bytes; never more than allowed, and never in more memory than a window. */
import { Readable, type Transform } from 'node:stream'
import { constants, createGunzip, createZstdDecompress } from 'node:zlib'
import { AutovibeError } from '@autovibe/contract'
import { importRefused } from '@autovibe/core/checkpoints/imported-tree.ts'

/** Packed or not: what a person sends in the time that a request may take. */
export const ARCHIVE_BYTES_MAX = 16 * 1024 ** 3
/** A window of 8 MiB is what `zstd` takes at its usual levels; `--ultra` and `--long` want up to 2 GiB of our memory. */
const ZSTD_WINDOW_LOG_MAX = 23

const PACKED: readonly { readonly start: Buffer; readonly open: () => Transform }[] = [
  { start: Buffer.from([0x1f, 0x8b]), open: () => createGunzip() },
  { start: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), open: () => createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX } }) },
]
const START_BYTES = 4

export async function* unpacked(source: AsyncIterable<Uint8Array>, bytesMax = ARCHIVE_BYTES_MAX): AsyncGenerator<Uint8Array, void> {
  const chunks = atMost(source, bytesMax)
  const start: Uint8Array[] = []
  let length = 0
  while (length < START_BYTES) {
    const { done, value } = await chunks.next()
    if (done === true) break
    start.push(value)
    length += value.length
  }
  const first = Buffer.concat(start)
  const packed = PACKED.find((one) => first.subarray(0, one.start.length).equals(one.start))
  const whole = (async function* () {
    yield first
    yield* chunks
  })()
  if (packed === undefined) return yield* whole
  const plain = packed.open()
  const packedBytes = Readable.from(whole, { objectMode: false })
  packedBytes.once('error', (error) => plain.destroy(error))
  try {
    yield* atMost(packedBytes.pipe(plain) as AsyncIterable<Uint8Array>, bytesMax)
  } catch (error) {
    throw isOfZlib(error) ? importRefused('it is packed, and cannot be unpacked (damaged, cut off, or made with a larger window than 8 MiB)') : error
  } finally {
    packedBytes.destroy()
    plain.destroy()
  }
}

async function* atMost(source: AsyncIterable<Uint8Array>, bytesMax: number): AsyncGenerator<Uint8Array, void> {
  let bytes = 0
  for await (const chunk of source) {
    bytes += chunk.length
    if (bytes > bytesMax)
      throw new AutovibeError('request.too_large', `The archive holds more than ${bytesMax} bytes. Nothing was changed.`, {
        fix: 'Leave out what can be made again: packages, build results.',
      })
    yield chunk
  }
}

function isOfZlib(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return /^(?:Z_|ZSTD_|ERR_ZSTD|ERR_ZLIB|ERR__ERROR_)/.test(code)
}
