/** Freezes Claude Code where its session on the disk has all that it has said: a checkpoint between the two would forget the last result. */
import { pause } from '../../door/backoff.ts'
import { log } from '../../log.ts'
import type { Freezer } from '../../run/gate.ts'

/** It writes its session every 100 ms (seen with 2.1.197); the time passes for it while it stands still, so that it writes first when it goes on. */
const WRITES_EVERY_MS = 110
const LOOK_EVERY_MS = 2
const LOOKS_MAX = 25
const ROUNDS_MAX = 3

export interface Stopping {
  stop(): void
  goOn(): void
  /** Whether what was said last is written; null when nobody can tell. */
  isWritten(): Promise<boolean | null>
}

export function freezerOf({ stop, goOn, isWritten }: Stopping): Freezer {
  return {
    async freeze() {
      stop()
      for (let round = 0; round < ROUNDS_MAX; round++) {
        if ((await isWritten()) !== false) return
        await pause(WRITES_EVERY_MS)
        goOn()
        // No longer than it takes to write: what it does next belongs behind the checkpoint.
        for (let look = 0; look < LOOKS_MAX && (await isWritten()) === false; look++) await pause(LOOK_EVERY_MS)
        stop()
      }
      if ((await isWritten()) === false) log('Claude Code stands still before its session is written')
    },
    thaw: async () => goOn(),
  }
}
