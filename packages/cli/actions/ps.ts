/** Lists machines with what they do and what they have spent. */
import { AutovibeError, type Run } from '@autovibe/contract'
import type { Autovibe } from '@autovibe/sdk'
import type { Action } from '../commands/define.ts'
import type { PsOptions } from '../commands/ps.ts'
import { type MachineRow, renderMachines } from '../render/resources.ts'

const SHOWN = 1000

export const ps: Action<PsOptions> = async (context, _args, options) => {
  const client = await context.connect()
  const { signal } = context
  const machines = await client.machines.list({ all: options.all === true }, { signal }).take(SHOWN)
  const names = new Map<string, string>()
  for await (const project of client.projects.list({ signal })) names.set(project.id, project.name)
  const runs = await findRuns(client, new Set(machines.flatMap((machine) => machine.run_id ?? [])), signal)
  const rows: MachineRow[] = machines.map((machine) => ({
    machine,
    run: machine.run_id === null ? null : (runs.get(machine.run_id) ?? null),
    project: names.get(machine.project_id) ?? machine.project_id,
  }))
  context.out.answer({ machines: rows.map(({ machine, run, project }) => ({ ...machine, project, run })) }, renderMachines(rows, Date.now(), context.out.paint))
  return 0
}

/** Newest first in pages rather than one by one: the wanted ones are mostly the newest. */
async function findRuns(client: Autovibe, wanted: Set<string>, signal: AbortSignal): Promise<Map<string, Run>> {
  const found = new Map<string, Run>()
  if (wanted.size === 0) return found
  let looked = 0
  for await (const run of client.runs.list({}, { signal })) {
    if (wanted.delete(run.id)) found.set(run.id, run)
    if (wanted.size === 0 || ++looked >= SHOWN) break
  }
  for (const id of wanted) {
    const run = await client.runs.get(id, { signal }).catch((thrown: unknown) => {
      if (thrown instanceof AutovibeError && thrown.code === 'not_found') return undefined
      throw thrown
    })
    if (run) found.set(id, run)
  }
  return found
}
