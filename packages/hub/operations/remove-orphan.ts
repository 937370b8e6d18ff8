/** Removes something that carries our mark on the substrate and that no row of ours knows. */
import { MachineId } from '@autovibe/contract'
import { z } from 'zod'
import { operation } from './ports.ts'
import { done, MACHINE_TIMEOUT_MS, machineAbsent } from './steps/machine-life.ts'

const RemoveOrphan = z.object({ machineId: MachineId })

export const removeOrphan = operation('remove-orphan', RemoveOrphan, { exclusive: false, cancellable: false }).ensure('absent', {
  timeoutMs: MACHINE_TIMEOUT_MS,
  do: done(machineAbsent),
})
