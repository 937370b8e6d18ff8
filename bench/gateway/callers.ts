/** Real machines with a run under way, on whose sockets and tokens the bench calls the gateway as their agents do. */
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { MachineId } from '@autovibe/contract'
import type { Place } from '../support/generator.ts'
import { MODEL, PLENTY_NANO_USD, type Stage } from '../support/stage.ts'

const PROVIDER = 'upstream'
const SPAWNED_AT_ONCE = 4
const AGENTS_TIMEOUT_MS = 60_000

export interface Callers extends AsyncDisposable {
  /** Spawns more machines until there are so many, each with its agent waiting for its model. */
  growTo(machines: number): Promise<void>
  /** From now on the gateway forwards there. */
  useUpstream(url: string): Promise<void>
  /** Where connection `index` calls the gateway; the machines take turns. */
  readonly to: (index: number) => Place
}

/** Opens machines against an upstream that never answers their agents, so that the runs stay open. */
export async function openCallers({ client, hub, projectId }: Stage): Promise<Callers> {
  await using ending = new AsyncDisposableStack()
  const silent = createServer(() => undefined)
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  ending.defer(() => {
    silent.closeAllConnections()
    silent.close()
  })
  const silentUrl = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
  const useUpstream = async (url: string): Promise<void> => {
    await client.providers.put(PROVIDER, { base_url: url, key: 'bench', default_model: MODEL, simulated: true })
  }

  const machineIds: MachineId[] = []
  ending.defer(() => eachOf(machineIds, destroy))
  const places: Place[] = []
  let agentsWaiting = 0
  silent.on('request', () => agentsWaiting++)

  async function open(): Promise<void> {
    const { run } = await client.runs.create({ project: projectId, prompt: 'Say ok', provider: PROVIDER, budget: PLENTY_NANO_USD })
    machineIds.push(run.machine_id)
    await client.runs.wait(run.id, 'running')
    const folder = join(hub.dataDir, 'local', 'machines', run.machine_id, 'socket')
    const token = (await readFile(join(folder, 'token'), 'utf8')).trim()
    places.push({
      socketPath: join(folder, 'hub.sock'),
      path: '/gateway/v1/messages',
      headers: { 'content-type': 'application/json', 'anthropic-version': '2023-06-01', 'x-api-key': token },
    })
  }

  async function destroy(machineId: MachineId): Promise<void> {
    const { operation_id } = await client.machines.destroy(machineId)
    await client.operations.wait(operation_id)
  }

  const all = ending.move()
  return {
    useUpstream,
    async growTo(machines) {
      await useUpstream(silentUrl)
      await eachOf(Array.from({ length: machines - places.length }), open)
      // Every agent has made its one call and waits: from here on the machines are at rest.
      const deadline = Date.now() + AGENTS_TIMEOUT_MS
      while (agentsWaiting < machines) {
        if (Date.now() > deadline) throw new Error(`${agentsWaiting} of ${machines} agents asked their model`)
        await delay(20)
      }
    },
    to: (index) => {
      const place = places[index % places.length]
      if (!place) throw new RangeError('there are no machines')
      return place
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

/** A few at a time. */
async function eachOf<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = items.values()
  await Promise.all(
    Array.from({ length: SPAWNED_AT_ONCE }, async () => {
      for (const item of left) await work(item)
    }),
  )
}
