/** The stand-in's time: real seconds for stamps, and waits in Proxmox's seconds, which a test makes as short as it likes. */
import { setTimeout as delay } from 'node:timers/promises'

export interface Clock {
  /** Seconds since 1970, with a fraction. */
  now(): number
  /** Waits this many of Proxmox's seconds. */
  wait(seconds: number): Promise<void>
  /** The same span in milliseconds of this process. */
  ms(seconds: number): number
  /** Puts the clock of all nodes on by so many seconds. */
  pass(seconds: number): void
}

/** `secondMs`: how long one of Proxmox's seconds lasts here. */
export function scaledClock(secondMs: number): Clock {
  const ms = (seconds: number): number => Math.max(0, Math.round(seconds * secondMs))
  let passedS = 0
  return {
    now: () => Date.now() / 1000 + passedS,
    wait: async (seconds) => void (await delay(ms(seconds))),
    ms,
    pass: (seconds) => {
      passedS += seconds
    },
  }
}
