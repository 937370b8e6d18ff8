/** Asks for a run on a machine that is there: its rows, and the operation. */
import type { CreateRun } from '@autovibe/contract'
import { assertMachineAllows } from '@autovibe/core/machines/transitions.ts'
import type { z } from 'zod'
import type { Tx } from '../../database/database.ts'
import { enqueue } from '../engine/enqueue.ts'
import type { Ports } from '../ports.ts'
import { runPrompt } from '../run-prompt.ts'
import { machineByName } from './look-ups.ts'
import { insertRun } from './rows.ts'

type RunInput = z.output<typeof CreateRun>

export async function runOnMachine(ports: Ports, tx: Tx, input: RunInput, nameOrId: string, model: string) {
  const machine = await machineByName(tx, nameOrId)
  assertMachineAllows(machine, 'run')
  const before = await tx.selectFrom('runs').select('id').where('machine_id', '=', machine.id).executeTakeFirst()
  const runId = await insertRun(ports, tx, { ...input, model, machine, resume: before !== undefined || machine.parent_checkpoint_id !== null })
  const subject = { projectId: machine.project_id, machineId: machine.id, runId }
  const operationId = await enqueue(tx, ports.runtime, runPrompt, { machineId: machine.id, runId, limitNanoUsd: input.budget }, subject)
  return { runId, machineId: machine.id, operationId }
}
