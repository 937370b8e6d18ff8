/** What the Hub's host sees of a machine, for proofs that nothing of it is left or was changed. */
import { readdirSync, readFileSync } from 'node:fs'
import type { MachineId } from '@autovibe/contract'
import { machinePaths } from '../../packages/hub/substrates/local/layout.ts'
import { parseStat } from '../../packages/hub/substrates/local/processes.ts'
import type { Stage } from './stage.ts'

export async function supervisorPid(stage: Stage, machineId: MachineId): Promise<number> {
  return parseStat(readFileSync(machinePaths(stage.ground.layout, machineId).pid, 'latin1'))?.pid ?? 0
}

/** Processes of the host, in whatever namespace, whose command line holds this word. */
export function processesWith(word: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, 'latin1').split('\0').includes(word)
      } catch {
        // It has ended since it was seen.
        return false
      }
    })
    .map(Number)
}
