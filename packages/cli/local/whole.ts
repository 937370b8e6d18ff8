/** An archive from the Hub that breaks off says so in our words. */
import { AutovibeError } from '@autovibe/contract'

/** The chunks; a connection that ends in the middle becomes an error that says what to do. */
export async function* whole(tar: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
  try {
    yield* tar
  } catch (cause) {
    if (signal.aborted) throw signal.reason
    throw new AutovibeError('hub.unreachable', 'The Hub broke off in the middle of the archive, and nothing of it was kept.', {
      cause,
      fix: 'See whether the checkpoint is damaged: autovibe checkpoint verify CHECKPOINT; else try again.',
    })
  }
}
