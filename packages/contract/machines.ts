/** A machine: an isolated computer with one project and one agent. */
import { z } from 'zod'
import { PageQuery, Time, waitQuery } from './common.ts'
import { BudgetId, CheckpointId, MachineId, Name, OperationId, ProjectId, RunId } from './ids.ts'
import { MachineLimits, MachineUse } from './limits.ts'

export const MACHINE_STATES = [
  'requested',
  'provisioning',
  'booting',
  'ready',
  'running',
  'paused',
  'checkpointing',
  'stopping',
  'stopped',
  'failed',
  'destroyed',
] as const
export const MachineState = z.enum(MACHINE_STATES)
export type MachineState = z.infer<typeof MachineState>

/**
 * How strongly the substrate fences a machine in: `I4` a virtual machine with a kernel of its own, `I3` all namespaces as root, `I2` the same as an ordinary user,
 * `I1` partial (not for hostile code), `I0` a bare process.
 */
export const IsolationTier = z.enum(['I4', 'I3', 'I2', 'I1', 'I0'])
export type IsolationTier = z.infer<typeof IsolationTier>

/** How trees are copied: `C4` btrfs, `C3` overlay, or linked clones of a VM's disk, `C2` reflink, `C1` plain copy, or out of the checkpoint store. */
export const CopyTier = z.enum(['C4', 'C3', 'C2', 'C1'])
export type CopyTier = z.infer<typeof CopyTier>

export const SubstrateTier = z.object({ substrate: z.enum(['local', 'proxmox']), isolation: IsolationTier, copy: CopyTier })
export type SubstrateTier = z.infer<typeof SubstrateTier>

export const Machine = z.object({
  id: MachineId,
  name: Name,
  project_id: ProjectId,
  state: MachineState,
  state_reason: z.string().nullable(),
  /** Null until the machine was placed. */
  tier: SubstrateTier.nullable(),
  limits: MachineLimits.nullable().describe('Null for one that was made before there were limits: those of the Hub hold'),
  use: MachineUse.nullable().describe('Null until it was measured'),
  parent_checkpoint_id: CheckpointId.nullable(),
  head_checkpoint_id: CheckpointId.nullable().describe('Where its files stand: its newest checkpoint, or the one that it was rolled back to or forked from'),
  /** The run that it works on, or worked on last. */
  run_id: RunId.nullable(),
  budget_id: BudgetId.nullable(),
  /** The exclusive operation under way, if any. */
  operation_id: OperationId.nullable(),
  last_heartbeat_at: Time.nullable(),
  created_at: Time,
  destroyed_at: Time.nullable(),
})
export type Machine = z.infer<typeof Machine>

export const MachineQuery = PageQuery.extend({
  project: ProjectId.optional(),
  state: MachineState.optional(),
  /** Destroyed machines are left out unless asked for. */
  all: z.stringbool().default(false),
})
export type MachineQuery = z.infer<typeof MachineQuery>

export const MachineWait = waitQuery(['ready', 'stopped', 'destroyed'])
