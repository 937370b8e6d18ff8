/** The range of numbers: whether VMs of others are in it, as far as the token can tell. */
import type { Finding } from '@autovibe/contract'
import { ProxmoxError } from '../client/errors.ts'
import { failed, listed, looked, ok, warning } from './findings.ts'
import { type Site, setCommand } from './site.ts'

/** What every VM of ours has, whichever Hub made it. */
const TAG = 'autovibe'
/** Numbers that are asked for one by one, because the token sees no VM outside its pool; machines begin at the low end. */
const ASKED = 16

export async function probeNumbers(site: Site): Promise<readonly Finding[]> {
  const { config, client, signal } = site
  const { from, to } = config.vmids
  const name = `${from} to ${to}`
  return looked('numbers', name, signal, async () => {
    const resources = await client.call('GET /cluster/resources', { type: 'vm' }, { signal })
    const inRange = resources.filter(({ vmid }) => vmid !== undefined && vmid >= from && vmid <= to)
    const seen = new Set(inRange.map(({ vmid }) => vmid))
    const others = inRange
      .filter(({ tags = '' }) => !tags.split(/[;, ]/).includes(TAG))
      .map(({ vmid, name: of }) => `${vmid}${of === undefined ? '' : ` (${of})`}`)
    const asked = Array.from({ length: Math.min(ASKED, to - from + 1) }, (_, index) => from + index).filter((vmid) => !seen.has(vmid))
    const hidden: number[] = []
    for (const vmid of asked) if (await isTaken(site, vmid)) hidden.push(vmid)
    const fix = `Take numbers that nobody uses: ${setCommand(site, '--vmids FROM-TO')}`
    if (seen.size >= to - from + 1) return [failed('numbers', name, 'Every number is taken.', fix)]
    const taken = [...others, ...hidden.map((vmid) => `${vmid} (whose, the token may not see)`)]
    if (taken.length > 0)
      return [warning('numbers', name, `VMs of others have numbers of this range, which machines must pass over: ${listed(taken, 5)}.`, fix)]
    return [ok('numbers', name, `${seen.size} of ours; no VM of others among those that the token sees, nor behind the first ${asked.length} free numbers`)]
  })
}

/** Proxmox says of any number whether it is free, whoever has it. */
async function isTaken({ client, signal }: Site, vmid: number): Promise<boolean> {
  try {
    await client.call('GET /cluster/nextid', { vmid }, { signal })
    return false
  } catch (error) {
    if (
      error instanceof ProxmoxError &&
      (error.kind === 'taken' || error.errors?.some(({ path, message }) => path === 'vmid' && /already exists/.test(message)))
    )
      return true
    throw error
  }
}
