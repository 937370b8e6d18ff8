/** zstd as the store uses it: level 3, and never more output, nor a larger window, than what is known to be right. */
import { promisify } from 'node:util'
import { constants, zstdCompress, zstdCompressSync, zstdDecompress, zstdDecompressSync } from 'node:zlib'

const compressAsync = promisify(zstdCompress)
const decompressAsync = promisify(zstdDecompress)
const WRITE = { params: { [constants.ZSTD_c_compressionLevel]: 3 } }
/** The least that node:zlib takes. */
const CHUNK_BYTES_MIN = 64
/** Level 3 writes windows of at most 2 MiB; a damaged header could ask for 2 GiB. */
const READ = { params: { [constants.ZSTD_d_windowLogMax]: 22 } }
/** Up to so many plain bytes, which take a few dozen µs, the way to another thread and back takes longer than the work. */
const AT_ONCE_BYTES = 32 * 1024
/** What cannot shrink below its frame is not tried. */
const SMALLEST_TRIED = 32

export interface Packed {
  readonly form: 'zst' | 'raw'
  readonly bytes: Uint8Array
}

/** The smaller of both forms. */
export async function pack(bytes: Uint8Array): Promise<Packed> {
  if (bytes.length < SMALLEST_TRIED) return { form: 'raw', bytes }
  // Knowing the size, zstd makes tables to fit (twice as fast at 20 KB). Most of what is stored shrinks to less than half: then one buffer of that suffices.
  const options = { ...WRITE, pledgedSrcSize: bytes.length, chunkSize: Math.max(CHUNK_BYTES_MIN, bytes.length >> 1) }
  const compressed = bytes.length <= AT_ONCE_BYTES ? zstdCompressSync(bytes, options) : await compressAsync(bytes, options)
  return compressed.length < bytes.length ? { form: 'zst', bytes: compressed } : { form: 'raw', bytes }
}

/** `bytesMax` is how long the result is said to be: rejects when it would be longer. */
export async function unpack(packed: Packed, bytesMax: number): Promise<Uint8Array> {
  if (packed.form === 'raw') return packed.bytes
  // One buffer that is never quite filled, instead of many of 16 KiB that are put together, and one more to see that nothing follows.
  const options = { ...READ, maxOutputLength: Math.max(1, bytesMax), chunkSize: Math.max(CHUNK_BYTES_MIN, bytesMax + 1) }
  return bytesMax <= AT_ONCE_BYTES ? zstdDecompressSync(packed.bytes, options) : await decompressAsync(packed.bytes, options)
}
