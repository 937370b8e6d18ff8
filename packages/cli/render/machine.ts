/** One machine for people: what it is, what it may take, and what it took. */
import type { Machine, Run } from '@autovibe/contract'
import { describeLimits } from '../limits.ts'
import { fields } from './resources.ts'
import { age, bytes, duration, plain } from './text.ts'
import { tierMeaning } from './tiers.ts'

export function renderMachine(machine: Machine, run: Run | null, nowMs: number): string[] {
  const { tier } = machine
  return fields([
    ['machine', machine.name],
    ['id', machine.id],
    ['state', `${machine.state}${machine.state_reason === null ? '' : ` (${plain(machine.state_reason)})`}`],
    ['made', `${age(machine.created_at, nowMs)} ago`],
    ['run', run === null ? '-' : `${run.id}, ${run.state}${run.state_reason === null ? '' : ` (${plain(run.state_reason)})`}`],
    ['limits', describeLimits(machine.limits)],
    ['used', describeUse(machine.use, nowMs)],
    ['stands at', machine.head_checkpoint_id ?? '-'],
    ['isolation', tier === null ? '-' : tierMeaning(tier)],
  ])
}

function describeUse(use: Machine['use'], nowMs: number): string {
  if (use === null) return '-'
  const disk = use.disk_bytes === null ? '' : `, ${bytes(use.disk_bytes)} of disk`
  const sure = use.quality === 'measured' ? '' : ', estimated'
  return `${duration(use.cpu_seconds * 1000)} of processor time, at most ${bytes(use.peak_memory_bytes)} of memory${disk}${sure} (${age(use.at, nowMs)} ago)`
}
