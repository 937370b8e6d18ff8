/** What a machine may take of its host, each as a person says it; what was seen is a figure with its quality. */
import { z } from 'zod'

const MIB = 1024 ** 2

/** Below the least of these an agent does not come up. */
export const MachineLimits = z.object({
  cores: z.number().min(0.05).max(4096).describe('How many processors it may keep busy; 0.5 is half of one'),
  memory_bytes: z
    .int()
    .min(64 * MIB)
    .max(2 ** 50)
    .describe('Memory of all its processes, of its file systems in memory, and of files that it has just used'),
  processes: z.int().min(32).max(4_000_000).describe('Processes and threads together'),
  disk_bytes: z
    .int()
    .min(16 * MIB)
    .max(2 ** 50)
    .describe('What its tree takes on the disk, with what it shares with checkpoints and forks'),
  wall_seconds: z.int().min(1).max(31_536_000).describe('How long one run may be at work on it; pauses do not count'),
})
export type MachineLimits = z.infer<typeof MachineLimits>

/** Some of them; what is left out comes from wherever the rest comes from. */
export const MachineLimitsChange = MachineLimits.partial()
export type MachineLimitsChange = z.infer<typeof MachineLimitsChange>

/** One limit as it is, as it is proposed, and what was seen of it, in the unit of the limit. */
export const LimitProposal = z.object({
  now: z.number().describe('What the next machine would be given as things stand'),
  proposed: z.number(),
  seen: z.number(),
  reason: z.string(),
})
export type LimitProposal = z.infer<typeof LimitProposal>

export const LimitsProposal = z.object({
  runs: z.int().describe('How many runs were looked at: the newest of the last 30 days'),
  runs_needed: z.int(),
  seen_seconds: z.number().describe('How long they were at work, altogether'),
  seen_seconds_needed: z.int(),
  proposal: z
    .object({
      cores: LimitProposal,
      memory_bytes: LimitProposal,
      disk_bytes: LimitProposal.nullable().describe('Null when no disk was looked at'),
    })
    .nullable()
    .describe('Null while too little was seen'),
})
export type LimitsProposal = z.infer<typeof LimitsProposal>

/** What a machine took, as last seen; `estimated` where processes are only looked at from time to time. */
export const MachineUse = z.object({
  cpu_seconds: z.number().describe('Since it was made'),
  peak_memory_bytes: z.int().describe('The most since it was last started'),
  disk_bytes: z.int().nullable().describe('Null until it was looked at first'),
  quality: z.enum(['measured', 'estimated']),
  at: z.iso.datetime(),
})
export type MachineUse = z.infer<typeof MachineUse>
