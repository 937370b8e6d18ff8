/** Takes note that a machine is gone or silent: its run fails with the reason, its tree is kept for rollback and fork. */
import { MachineId } from '@autovibe/contract'
import { z } from 'zod'
import { operation } from './ports.ts'
import { done, MACHINE_TIMEOUT_MS, machineFailed, machineHalted } from './steps/machine-life.ts'

const FailMachine = z.object({ machineId: MachineId, reason: z.string() })

export const failMachine = operation('fail-machine', FailMachine, { cancellable: false })
  .ensure('stop', { timeoutMs: MACHINE_TIMEOUT_MS, do: done(machineHalted) })
  .tx('failed', {
    do: async ({ input, ports }, tx) => {
      await machineFailed(ports, tx, input.machineId, input.reason)
      return null
    },
  })
