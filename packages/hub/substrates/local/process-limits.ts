/** Where no control group holds a machine: the kernel's limits of single processes, which at least keep one of them from outrunning the looks. */
import type { Held } from './held.ts'
import type { Host } from './host.ts'

/** A Node process takes more than half of this for data before it has done anything (seen: 560 MiB): stacks of its threads, arenas, heaps of its engine. */
const DATA_AT_REST_BYTES = 1024 ** 3

/** The words before a command that hold it and all its descendants; none where a group does. */
export function processLimits({ offer }: Host, { limits, group }: Held): string[] {
  const words: string[] = []
  if (group?.folders.memory === undefined) words.push(`--data=${limits.memory_bytes + DATA_AT_REST_BYTES}`)
  // Counted per user, and in a user namespace only there; root is never counted, and a bare process shares its user with the Hub (setrlimit(2)).
  if (group?.folders.pids === undefined && offer.isolation === 'I2') words.push(`--nproc=${limits.processes}`)
  return words.length === 0 ? [] : ['prlimit', ...words, '--']
}
