/** Reads what was piped into the command. */
import { AutovibeError } from '@autovibe/contract'

/** All of standard input as text; `request.too_large` beyond so many bytes. */
export async function readStdin(limitBytes: number): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of process.stdin) {
    bytes += (chunk as Buffer).length
    if (bytes > limitBytes) throw new AutovibeError('request.too_large', `Standard input holds more than ${limitBytes} bytes.`)
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks).toString()
}
