/** The tokens of machines: derived from the master key and the machine's id, so that a repeated step makes the same one and none is stored. */
import { createHash, createHmac } from 'node:crypto'
import { AutovibeError, type MachineId } from '@autovibe/contract'

/** `tokenHash`: the SHA-256 that stands in the machine's row, for a machine that has one; its token is the one of that hash, by whichever of the keys it was made. */
export type TokenFor = (machineId: MachineId, tokenHash?: string | null) => string

/**
 * `avm_` and 43 characters; opens the door and the gateway for this machine alone. A machine keeps its token and its row the hash, so a rotation of the master key changes
 * nothing for it; only one that is just being made is asked for again, and then the previous key still has to be there (`conflict.state` otherwise).
 */
export function machineTokens(current: Buffer, previous: Buffer | null = null): TokenFor {
  const derive = (key: Buffer, machineId: MachineId) => `avm_${createHmac('sha256', key).update(`machine-token:${machineId}`).digest('base64url')}`
  return (machineId, tokenHash = null) => {
    if (tokenHash === null) return derive(current, machineId)
    for (const key of previous ? [current, previous] : [current]) {
      const token = derive(key, machineId)
      if (createHash('sha256').update(token).digest('hex') === tokenHash) return token
    }
    throw new AutovibeError('conflict.state', 'The master key was changed while this machine was being made.', { fix: 'Start the run again: autovibe run' })
  }
}
