/** What a rollback cannot undo: what its machine has done in the time that it leaves, and that has gone beyond it. */
import { z } from 'zod'
import { Time } from './common.ts'
import { CheckpointId, ExecId, MachineId } from './ids.ts'
import { Amount, NanoUsd } from './money.ts'

/** Of each kind so many are named; the totals are of all. */
export const ROLLBACK_EFFECTS_NAMED_MAX = 20

export const RollbackEffects = z.object({
  machine_id: MachineId,
  checkpoint_id: CheckpointId.describe('The one that is gone back to'),
  since: Time.describe(
    'When the first of it can have happened: the checkpoint was frozen, or the machine came to stand on it. What an earlier rollback has left already is not in it',
  ),
  model_calls: z.object({
    total: z.int(),
    cost: NanoUsd.describe('What was settled for them'),
    estimated: z.int().describe('Of how many the exact cost could not be had'),
    models: z.array(z.object({ provider: z.string().nullable(), model: z.string().nullable(), calls: z.int(), cost: NanoUsd })).describe('The dearest first'),
  }),
  egress: z.object({
    connections: z.int().describe('Those that were let through'),
    bytes: Amount.describe('Both ways together'),
    total: z.int().describe('How many destinations'),
    destinations: z.array(z.object({ destination: z.string(), connections: z.int(), bytes: Amount })).describe('Those with the most bytes first'),
  }),
  commands: z.object({
    total: z.int(),
    items: z
      .array(z.object({ exec_id: ExecId, actor_name: z.string(), command: z.string(), at: Time }))
      .describe('What people ran inside the machine, newest first'),
  }),
})
export type RollbackEffects = z.infer<typeof RollbackEffects>

export const RollbackQuery = z.object({ to: CheckpointId })
