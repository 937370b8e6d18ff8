/** What git writes instead of hunks for bytes that are no text: both versions whole, deflated and in base 85, so that it applies forwards and backwards. */
import { promisify } from 'node:util'
import { deflate } from 'node:zlib'

const deflateAsync = promisify(deflate)
const ALPHABET = Buffer.from('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~')
/** Of a line, which its first character gives: A to Z for 1 to 26, a to z for 27 to 52. */
const LINE_BYTES = 52

export async function binaryPatch(before: Uint8Array, after: Uint8Array): Promise<string> {
  return `GIT binary patch\n${await literal(after)}\n${await literal(before)}\n`
}

const literal = async (bytes: Uint8Array): Promise<string> => `literal ${bytes.length}\n${base85Lines(await deflateAsync(bytes))}`

/** Four bytes become five characters; the last four are filled up with zeros. */
export function base85Lines(bytes: Uint8Array): string {
  const text = Buffer.alloc(Math.ceil(bytes.length / LINE_BYTES) * 2 + Math.ceil(bytes.length / 4) * 5)
  let end = 0
  for (let start = 0; start < bytes.length; start += LINE_BYTES) {
    const length = Math.min(LINE_BYTES, bytes.length - start)
    text[end++] = length <= 26 ? 0x40 + length : 0x60 + length - 26
    for (let at = start; at < start + length; at += 4) {
      const byte = (offset: number): number => (at + offset < start + length ? (bytes[at + offset] ?? 0) : 0)
      let word = byte(0) * 0x1000000 + (byte(1) << 16) + (byte(2) << 8) + byte(3)
      for (let digit = 4; digit >= 0; digit--) {
        text[end + digit] = ALPHABET[word % 85] as number
        word = Math.floor(word / 85)
      }
      end += 5
    }
    text[end++] = 0x0a
  }
  return text.toString('latin1', 0, end)
}
