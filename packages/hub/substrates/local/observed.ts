/** What of machines there is on this host: their folders, and the processes that carry a mark of this data directory, whether anybody knows of them or not. */
import { readdir } from 'node:fs/promises'
import type { ObservedMachine } from '../substrate.ts'
import { listMachineIds, readMachine } from './documents.ts'
import type { Host } from './host.ts'
import { findMarked } from './marked.ts'
import { slotOf } from './supervisor.ts'

/** A slot that waits for a machine is none. */
export async function observeMachines(host: Host): Promise<readonly ObservedMachine[]> {
  const { layout } = host
  const running = new Set((await findMarked(layout)).map((process) => process.machineId))
  // In this order: a slot that a machine takes over meanwhile is in the one list or in the other.
  const marksOfSlots = new Set<string>(await readdir(layout.slots))
  const observed: ObservedMachine[] = []
  const known = await listMachineIds(layout)
  for (const machineId of known) {
    const slot = slotOf(host, machineId)
    if (slot !== null) marksOfSlots.add(slot)
    const power = running.has(machineId) || (slot !== null && running.has(slot)) ? 'running' : 'stopped'
    const document = await readMachine(layout, machineId)
    observed.push({ machineId, power, createdAt: document === null ? null : new Date(document.created_at) })
  }
  const unknown = [...running].filter((mark) => !marksOfSlots.has(mark) && !known.includes(mark))
  return [...observed, ...unknown.map((machineId) => ({ machineId, power: 'running' as const, createdAt: null }))]
}
