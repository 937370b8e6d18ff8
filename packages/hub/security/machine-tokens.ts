/** The tokens of machines: derived from the master key and the machine's id, so that a repeated step makes the same one and none is stored. */
import { createHmac } from 'node:crypto'
import type { MachineId } from '@autovibe/contract'

/** `avm_` and 43 characters; opens the door and the gateway for this machine alone. */
export function machineTokens(masterKey: Buffer): (machineId: MachineId) => string {
  return (machineId) => `avm_${createHmac('sha256', masterKey).update(`machine-token:${machineId}`).digest('base64url')}`
}
