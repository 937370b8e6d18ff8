/** Every bound of egress in one place. Times in milliseconds. */
export const LIMITS = {
  /** Half of what a machine may have open on its socket, so that door and gateway always find room; attempts count as tunnels. */
  tunnelsPerMachine: 32,
  tunnels: 512,
  attemptsPerMinute: 300,
  /** Of each type and machine; what is left out is counted in the next one. */
  eventsPerMinute: 20,
  resolveMs: 5_000,
  /** For each address that is tried. */
  connectMs: 5_000,
  /** Of the addresses of a name all are looked at, and so many tried. */
  addressesTried: 4,
  /** Without a byte in either direction. */
  idleMs: 300_000,
  /** The same once one side has ended: a machine that is gone looks like one that only listens. */
  halfOpenIdleMs: 60_000,
  /** The bytes of a tunnel are charged each time so many have passed, and at its end. */
  sliceBytes: 16 * 1024 * 1024,
} as const
