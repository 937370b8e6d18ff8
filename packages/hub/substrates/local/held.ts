/** What a machine is held to when it starts. */
import type { MachineLimits } from '@autovibe/contract'
import type { Group } from './cgroups.ts'

export interface Held {
  readonly limits: MachineLimits
  /** Null where there are no control groups: then each of its processes is held as far as that makes sense. */
  readonly group: Group | null
}
