/** The templates: there, templates, with all that a machine needs of one, and one for every node. */
import type { Finding } from '@autovibe/contract'
import { isBaseDisk } from '@autovibe/core/proxmox/vm-config.ts'
import type { AnswerOf } from '../client/endpoints.ts'
import { ProxmoxError } from '../client/errors.ts'
import { poolLine } from '../client/privileges.ts'
import { failed, listed, looked, ok, warning } from './findings.ts'
import { type NodesSite, setCommand } from './site.ts'

type Config = AnswerOf<'GET /nodes/{node}/qemu/{vmid}/config'>

const DRIVE = /^(?:ide|sata|scsi|virtio)\d{1,2}$/

export async function probeTemplates(site: NodesSite): Promise<readonly Finding[]> {
  const { config, client, signal } = site
  return looked('template', 'all', signal, async () => {
    const resources = await client.call('GET /cluster/resources', { type: 'vm' }, { signal })
    const nodeOf = new Map(resources.flatMap(({ vmid, node }) => (vmid === undefined || node === undefined ? [] : [[vmid, node] as const])))
    const each = await Promise.all(
      config.templates.map(async ({ vmid, node }) => {
        const at = nodeOf.get(vmid)
        const place = at ?? node ?? undefined
        const findings = await looked('template', String(vmid), signal, () => templateFindings(site, vmid, node, place))
        return { good: place === undefined || findings.some(({ status }) => status === 'failed') ? [] : [{ vmid, node: place }], findings }
      }),
    )
    return [
      ...each.flatMap(({ findings }) => findings),
      ...(await coverage(
        site,
        each.flatMap(({ good }) => good),
      )),
    ]
  })
}

async function templateFindings(site: NodesSite, vmid: number, wanted: string | null, node: string | undefined): Promise<readonly Finding[]> {
  const { client, signal, config } = site
  const name = String(vmid)
  const absent = failed(
    'template',
    name,
    `There is no VM ${vmid} that the token may see.`,
    `If there is one, bring it into the pool: ${poolLine(config.pool, vmid)}. If there is none, make it: autovibe substrate template build ${site.name} --node ${wanted ?? site.nodes[0]} --image-storage STORAGE --vmid ${vmid}`,
  )
  if (node === undefined) return [absent]
  if (wanted !== null && wanted !== node)
    return [failed('template', name, `It is on ${node}, not on ${wanted}.`, setCommand(site, `--template ${vmid}@${node}`))]
  try {
    return judged(site, vmid, node, await client.call('GET /nodes/{node}/qemu/{vmid}/config', { node, vmid }, { signal }))
  } catch (error) {
    if (error instanceof ProxmoxError && (error.kind === 'absent' || error.kind === 'forbidden')) return [absent]
    throw error
  }
}

/** All that is wrong with it, or that it is good. */
function judged({ config, name }: NodesSite, vmid: number, node: string, template: Config): Finding[] {
  const findings: Finding[] = []
  const wrong = (detail: string, fix: string): number => findings.push(failed('template', String(vmid), detail, fix))
  const drives = Object.entries(template).filter(([key]) => DRIVE.test(key))
  const disk = drives.filter(([, drive]) => !isCd(drive)).map(([key, drive]) => ({ key, drive }))[0]
  if (template['template'] !== '1') wrong('It is a VM and no template.', `On ${node}: qm template ${vmid}`)
  if (!/^(?:1|enabled=1)(?:,|$)|,enabled=1(?:,|$)/.test(template['agent'] ?? '')) wrong('The guest agent is not on.', `On ${node}: qm set ${vmid} --agent 1`)
  if (!drives.some(([, value]) => isCloudInit(value)))
    wrong('It has no cloud-init drive, by which a machine gets its name and its address.', `On ${node}: qm set ${vmid} --ide2 ${config.storage}:cloudinit`)
  if (disk === undefined) wrong('It has no disk.', `Make it anew, with a disk on ${config.storage}.`)
  else if (template['template'] === '1' && !isBaseDisk(disk.drive))
    wrong('Its making into a template was broken off: machines cannot share the blocks of its disk.', `On ${node}: qm template ${vmid} --disk ${disk.key}`)
  const storage = disk?.drive.split(':')[0]
  if (storage !== undefined && storage !== config.storage)
    wrong(
      `Its disk is on ${storage}, where the machines that share its blocks would be, and not on ${config.storage}.`,
      `Make it on ${config.storage}, or: ${setCommand({ name }, `--storage ${storage}`)}`,
    )
  // Proxmox's cloud-init asks for that by default, and a machine reaches nobody who has any.
  if (template['ciupgrade'] !== '0')
    findings.push(
      warning(
        'template',
        String(vmid),
        'At its first boot a machine looks for upgrades in vain, which takes long.',
        `On ${node}: qm set ${vmid} --ciupgrade 0`,
      ),
    )
  return findings.length > 0 ? findings : [ok('template', String(vmid), `${template['name'] ?? 'without a name'} on ${node}, disk on ${storage}`)]
}

const isCloudInit = (drive: string): boolean => /\bcloudinit\b/.test(drive)
const isCd = (drive: string): boolean => isCloudInit(drive) || /,media=cdrom\b/.test(drive)

interface Placed {
  readonly vmid: number
  readonly node: string
}

/** A template on storage of its node makes machines there alone. */
async function coverage({ config, client, signal, nodes, name }: NodesSite, good: readonly Placed[]): Promise<Finding[]> {
  const [first] = good
  if (first === undefined || nodes.length < 2) return []
  const storages = await client.call('GET /nodes/{node}/storage', { node: first.node }, { signal })
  if (storages.find(({ storage }) => storage === config.storage)?.shared === true) return []
  const without = nodes.filter((node) => !good.some((template) => template.node === node))
  if (without.length === 0) return []
  const templates = [...good.map(({ vmid, node }) => `${vmid}@${node}`), `VMID@${without[0]}`].join(' ')
  const fix = `Make one there, which has a number of its own, then: ${setCommand({ name }, `--template ${templates}`)}`
  return [warning('template', listed(without), 'No template is there, and the storage is not shared: no machine is made there.', fix)]
}
