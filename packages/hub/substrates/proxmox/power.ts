/** Turns VMs on and off, one at a time for each: whoever reads a machine's tree turns it on without waiting for the machine's turn. */
import { inviteAgain } from './inviting.ts'
import type { VmRecord } from './records.ts'
import type { Site } from './site.ts'
import { achieve, mustBeThere, ownVm, vmTask } from './vms.ts'

/** Seconds that a guest has to end by itself. */
const SHUTDOWN_S = 30

export const ensureOn = (site: Site, machine: VmRecord, signal: AbortSignal): Promise<VmRecord> => alone(site, machine, () => turnOn(site, machine, signal))

/** `plug`: at once; `button`: its guest is asked, and its plug pulled when it does not. A VM that is not there is off. */
export const ensureOff = (site: Site, machine: VmRecord, how: Off, signal: AbortSignal): Promise<void> =>
  alone(site, machine, () => turnOff(site, machine, how, signal))

/** Off before `work` and after it, and nobody turns it on meanwhile. */
export const whileOff = <T>(site: Site, machine: VmRecord, how: Off, signal: AbortSignal, work: () => Promise<T>): Promise<T> =>
  alone(site, machine, async () => {
    await turnOff(site, machine, how, signal)
    const result = await work()
    await turnOff(site, machine, 'plug', signal)
    return result
  })

type Off = 'plug' | 'button'

const alone = <T>(site: Site, machine: VmRecord, work: () => Promise<T>): Promise<T> => site.locks.run(`power ${machine.machine_id}`, work)

async function turnOn(site: Site, machine: VmRecord, signal: AbortSignal): Promise<VmRecord> {
  const { record } = await mustBeThere(site, machine, signal)
  const { node, vmid } = record
  await achieve(
    async () => (await statusOf(site, record, signal)) === 'running',
    async () => {
      await inviteAgain(site, record, signal)
      // What is left of the link of its last boot.
      site.links.cut(record.machine_id)
      await vmTask(site, record, 'POST /nodes/{node}/qemu/{vmid}/status/start', { node, vmid }, signal)
    },
  )
  return record
}

async function turnOff(site: Site, machine: VmRecord, how: Off, signal: AbortSignal): Promise<void> {
  const found = await ownVm(site, machine, signal)
  if (found === null) return
  const { record } = found
  const { node, vmid } = record
  await achieve(
    async () => (await statusOf(site, record, signal)) === 'stopped',
    () =>
      how === 'plug'
        ? vmTask(site, record, 'POST /nodes/{node}/qemu/{vmid}/status/stop', { node, vmid }, signal)
        : vmTask(site, record, 'POST /nodes/{node}/qemu/{vmid}/status/shutdown', { node, vmid, timeout: SHUTDOWN_S, forceStop: true }, signal),
  )
  // A VM whose plug was pulled says no goodbye; its old link must not be taken for that of the next boot.
  site.links.cut(record.machine_id)
}

async function statusOf(site: Site, { node, vmid }: VmRecord, signal: AbortSignal): Promise<string> {
  return (await site.client.call('GET /nodes/{node}/qemu/{vmid}/status/current', { node, vmid }, { signal })).status
}
