/** What exists with our mark: Proxmox's list, the guests that are linked, and the rows between them. */
import { AutovibeError, type MachineId } from '@autovibe/contract'
import { machineOfName } from '@autovibe/core/proxmox/vm-names.ts'
import type { ObservedMachine, Power } from '../substrate.ts'
import type { AnswerOf } from './client/endpoints.ts'
import { stateOf } from './machine-usage.ts'
import type { VmRecord } from './records.ts'
import type { Site } from './site.ts'
import { locate } from './vms.ts'

export type Listed = AnswerOf<'GET /cluster/resources'>[number] & { readonly vmid: number }

/** Our VMs as the cluster lists them; the row is missing for one that nobody knows any more. */
export async function ownVms(
  site: Site,
  signal: AbortSignal,
): Promise<{ readonly machineId: MachineId; readonly listed: Listed; readonly record: VmRecord | null }[]> {
  const { from, to } = site.settings.vmids
  const listed = await site.client.call('GET /cluster/resources', { type: 'vm' }, { signal })
  // The rows after the VMs: one that was made after this look has its row by then, whatever it is about to be.
  const records = new Map((await site.records.all()).map((record) => [record.vmid, record]))
  return listed.flatMap((each) => {
    const { vmid, name, template } = each
    if (vmid === undefined || template === true || vmid < from || vmid > to) return []
    const record = records.get(vmid) ?? null
    // A young VM has no name yet in what the nodes have told the cluster.
    const machineId = name === undefined ? (record?.machine_id ?? null) : machineOfName(site.hubId, name)
    if (machineId === null) return []
    return { machineId, listed: { ...each, vmid }, record: record?.machine_id === machineId ? record : null }
  })
}

export async function observe(site: Site, signal: AbortSignal): Promise<ObservedMachine[]> {
  const found = await ownVms(site, signal)
  const seen = new Set(found.map(({ machineId }) => machineId))
  for (const record of await site.records.all()) {
    if (record.state !== 'made' || seen.has(record.machine_id)) continue
    // A list without it says little: a token that has lost its rights is shown an empty one.
    const place = await locate(site, record.vmid, record.node, signal)
    if (place.kind === 'absent') continue
    if (place.kind === 'hidden') throw unseen(record)
    const { status, name } = place.status
    found.push({ machineId: record.machine_id, listed: { id: '', type: 'qemu', vmid: record.vmid, node: place.node, status, name }, record })
  }
  return Promise.all(
    found
      .filter(({ record }) => record?.state !== 'remains')
      .map(async ({ machineId, listed, record }) => ({ machineId, power: await powerOf(site, listed, record, signal), createdAt: record?.created_at ?? null })),
  )
}

const unseen = ({ vmid }: VmRecord): AutovibeError =>
  new AutovibeError('substrate.unavailable', `Proxmox does not show the VM ${vmid} of a machine to the Hub's token, although it is there.`, {
    fix: 'See whether the token still has its rights, and the VM is in its pool: autovibe substrate probe',
  })

/** A machine runs when its agent does; a VM that is on without one only waits for whoever reads its trees. */
async function powerOf(site: Site, listed: Listed, record: VmRecord | null, signal: AbortSignal): Promise<Power> {
  if (record === null) return listed.status === 'running' ? 'running' : 'stopped'
  if (!record.agent) return 'stopped'
  const guest = site.links.current(record.machine_id)
  if (guest !== null) {
    const state = await stateOf(site, record.machine_id, signal)
    if (state !== null) return state.agent
  }
  // What nodes have told the cluster is up to ten seconds old, and nothing is told of a node that does not answer: then it is taken for running, and its silence decides.
  const { node, vmid } = record
  try {
    return (await site.client.call('GET /nodes/{node}/qemu/{vmid}/status/current', { node, vmid }, { signal })).status === 'running' ? 'running' : 'stopped'
  } catch (error) {
    signal.throwIfAborted()
    site.logger.info({ machineId: record.machine_id, err: error }, 'the state of a VM could not be asked for')
    return 'running'
  }
}
