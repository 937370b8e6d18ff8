/** Many machines at rest at once, each with its agent: what they take of the memory, and whether the Hub still answers. */
import { readdir, readFile } from 'node:fs/promises'
import { type Figure, figure, type Target } from '../support/report.ts'
import { openStage, PLENTY_NANO_USD, PROVIDER } from '../support/stage.ts'

const FULL = { machines: 200, requests: 1000 }
const QUICK = { machines: 20, requests: 200 }
const SPAWNED_AT_ONCE = 4
const API_P99_BELOW_MS = 50

export async function measureDensity(quick: boolean, progress: (text: string) => void): Promise<{ figures: Figure[]; targets: Target[] }> {
  const { machines, requests } = quick ? QUICK : FULL
  await using stage = await openStage()
  const { client, projectId, hub } = stage
  progress(`${machines} machines at rest`)
  const left = Array.from({ length: machines }).values()
  await Promise.all(
    Array.from({ length: SPAWNED_AT_ONCE }, async () => {
      for (const _ of left) {
        const { run } = await client.runs.create({ project: projectId, prompt: 'Say ok', provider: PROVIDER, budget: PLENTY_NANO_USD })
        const ended = await client.runs.wait(run.id, 'ended')
        if (ended.state !== 'succeeded') throw new Error(`a run ended as ${ended.state}: ${ended.state_reason}`)
      }
    }),
  )
  progress('what they take, and how the API answers')
  const perMachine = (await proportionalMiB(await hub.machineProcesses())).sort((a, b) => a - b)
  const ms: number[] = []
  for (let request = 0; request < requests; request++) {
    const askedAt = performance.now()
    await client.machines.list().take(20)
    ms.push(performance.now() - askedAt)
  }
  const api = figure(`GET /v1/machines with ${machines} machines at rest`, ms)
  const memory = figure(`memory of a machine at rest, one of ${machines}`, perMachine, { unit: 'MiB' })
  return {
    figures: [memory, api],
    targets: [
      { name: `${machines} machines at rest at once`, goal: 'all there', measured: `${perMachine.length}`, held: perMachine.length === machines },
      { name: api.name, goal: `p99 < ${API_P99_BELOW_MS} ms`, measured: `${api.p99} ms`, held: api.p99 < API_P99_BELOW_MS },
    ],
  }
}

/** The proportional set size of each machine's processes, with all that came from them: what is shared counts once over all of them (proc(5)). */
async function proportionalMiB(machines: ReadonlyMap<string, readonly number[]>): Promise<number[]> {
  const children = new Map<number, number[]>()
  for (const name of await readdir('/proc')) {
    const parent = Number((await readFile(`/proc/${name}/stat`, 'latin1').catch(() => '')).split(') ')[1]?.split(' ')[1])
    if (Number.isInteger(parent)) children.set(parent, [...(children.get(parent) ?? []), Number(name)])
  }
  const found: number[] = []
  for (const pids of machines.values()) {
    const all = new Set<number>(pids)
    for (const pid of all) for (const child of children.get(pid) ?? []) all.add(child)
    let kib = 0
    for (const pid of all) {
      const text = await readFile(`/proc/${pid}/smaps_rollup`, 'latin1').catch(() => '')
      kib += Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0)
    }
    found.push(kib / 1024)
  }
  return found
}
