/** Real machines with a run under way, on whose sockets and tokens the bench calls the gateway as their agents do. */
import { readFile } from 'node:fs/promises'
import { createServer, type RequestOptions } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { MachineId } from '@autovibe/contract'
import { MODEL, PLENTY_NANO_USD, type Stage } from '../support/stage.ts'

/** A machine may have 32 calls under way; 64 connections and the agents' own calls need more than two. */
const MACHINES = 4
const PROVIDER = 'upstream'

export interface Callers extends AsyncDisposable {
  /** From now on the gateway forwards there. */
  useUpstream(url: string): Promise<void>
  /** Where connection `index` calls the gateway. */
  readonly to: (index: number) => RequestOptions
}

/** Spawns the machines against an upstream that never answers their agents, so that the runs stay open. */
export async function openCallers({ client, hub, projectId }: Stage): Promise<Callers> {
  await using ending = new AsyncDisposableStack()
  const silent = createServer(() => undefined)
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  ending.defer(() => {
    silent.closeAllConnections()
    silent.close()
  })
  const useUpstream = async (url: string): Promise<void> => {
    await client.providers.put(PROVIDER, { base_url: url, key: 'bench', default_model: MODEL, simulated: true })
  }
  await useUpstream(`http://127.0.0.1:${(silent.address() as AddressInfo).port}`)

  const asked = new Promise<void>((resolve) => {
    let waiting = MACHINES
    silent.on('request', () => {
      if (--waiting === 0) resolve()
    })
  })
  const places: { readonly socketPath: string; readonly token: string }[] = []
  for (let nr = 0; nr < MACHINES; nr++) {
    const { run } = await client.runs.create({ project: projectId, prompt: 'Say ok', provider: PROVIDER, budget: PLENTY_NANO_USD })
    ending.defer(() => destroyed(run.machine_id))
    await client.runs.wait(run.id, 'running')
    const folder = join(hub.dataDir, 'local', 'machines', run.machine_id, 'socket')
    places.push({ socketPath: join(folder, 'hub.sock'), token: (await readFile(join(folder, 'token'), 'utf8')).trim() })
  }
  // Every agent has made its one call and waits: from here on the machines are at rest.
  await asked

  async function destroyed(machineId: MachineId): Promise<void> {
    const { operation_id } = await client.machines.destroy(machineId)
    await client.operations.wait(operation_id)
  }
  const all = ending.move()
  return {
    useUpstream,
    to: (index) => {
      const place = places[index % MACHINES]
      if (!place) throw new RangeError('there are no machines')
      return {
        socketPath: place.socketPath,
        path: '/gateway/v1/messages',
        headers: { 'content-type': 'application/json', 'anthropic-version': '2023-06-01', 'x-api-key': place.token },
      }
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}
