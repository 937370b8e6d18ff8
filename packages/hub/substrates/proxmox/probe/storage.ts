/** The storage of the machines on each node: there, for disks, with room; and what checkpoints and forks are on its type. */
import type { Finding } from '@autovibe/contract'
import { abilitiesOf, forkWay } from '@autovibe/core/proxmox/storage-abilities.ts'
import type { AnswerOf } from '../client/endpoints.ts'
import { failed, gib, listed, looked, ok, warning } from './findings.ts'
import { type NodesSite, setCommand } from './site.ts'

type Storage = AnswerOf<'GET /nodes/{node}/storage'>[number]

/** Below these, machines run into the end soon: on thin storages that is the loss of what they write. */
const SCARCE_BYTES = 20 * 1024 ** 3
const SCARCE_SHARE = 0.1

export async function probeStorage(site: NodesSite): Promise<readonly Finding[]> {
  const { config, client, signal, nodes } = site
  return looked('storage', config.storage, signal, async () => {
    const seen = await Promise.all(nodes.map(async (node) => ({ node, storages: await client.call('GET /nodes/{node}/storage', { node }, { signal }) })))
    const all = seen.flatMap(({ node, storages }) => storages.filter(({ storage }) => storage === config.storage).map((storage) => ({ node, storage })))
    // One that is for other nodes only is listed as disabled; so is one that is disabled everywhere.
    const enabled = all.filter(({ storage }) => storage.enabled !== false)
    const there = enabled.length > 0 ? enabled : all
    const missing = nodes.filter((node) => !there.some((each) => each.node === node))
    const [first] = there
    return [
      ...missing.map((node) =>
        missingFinding(
          site,
          node,
          there.map((each) => each.node),
        ),
      ),
      ...there.flatMap(({ node, storage }) => nodeFindings(site, node, storage)),
      ...(first === undefined ? [] : typeFindings(site, first.storage)),
    ]
  })
}

function missingFinding(site: NodesSite, node: string, having: readonly string[]): Finding {
  const { storage } = site.config
  if (having.length === 0)
    return failed(
      'storage',
      storage,
      `There is no storage ${storage} on ${node} that the token may see.`,
      `On ${node}: pvesm status; then ${setCommand(site, '--storage STORAGE')}`,
    )
  return failed(
    'storage',
    storage,
    `${node} has no storage ${storage}, and machines shall be there.`,
    `pvesm set ${storage} --nodes ${[...having, node].join(',')}, or leave the node out: ${setCommand(site, `--node ${having.join(' --node ')}`)}`,
  )
}

function nodeFindings({ config }: NodesSite, node: string, storage: Storage): Finding[] {
  const name = `${storage.storage} on ${node}`
  const content = storage.content.split(',').filter((each) => each !== '')
  if (!content.includes('images'))
    return [failed('storage', name, 'It takes no disks of VMs.', `pvesm set ${config.storage} --content ${[...content, 'images'].join(',')}`)]
  if (storage.enabled === false) return [failed('storage', name, 'It is disabled.', `pvesm set ${config.storage} --disable 0`)]
  if (storage.active === false) return [failed('storage', name, 'It is not active.', `On ${node}: pvesm status --storage ${config.storage}`)]
  const { avail, total } = storage
  if (avail === undefined || total === undefined) return [warning('storage', name, 'It does not say how much is free.')]
  const detail = `${gib(avail)} of ${gib(total)} free`
  if (avail >= SCARCE_BYTES && avail >= total * SCARCE_SHARE) return [ok('storage', name, detail)]
  return [warning('storage', name, `Only ${detail}.`, 'Destroy machines that nobody needs (autovibe ps), or enlarge the storage.')]
}

function typeFindings({ config, nodes, name }: NodesSite, { type, shared }: Storage): Finding[] {
  const abilities = abilitiesOf(type)
  const { way, words, why } = forkWay(type)
  if (abilities === null) return [warning('fork', config.storage, `What the type ${type} can do is not known here; the first machine will tell.`)]
  if (way === 'none') return [failed('fork', config.storage, `${words} (${why}.)`, setCommand({ name }, '--storage STORAGE'))]
  const hints = [
    ...(abilities.snapshots === 'newest'
      ? ['Only the newest snapshot can be gone back to with the whole machine; to older ones its tree goes back alone.']
      : []),
    ...(abilities.clonesHoldParent ? ['A machine whose snapshots have forks is removed only after them.'] : []),
  ]
  const findings = [ok('fork', config.storage, [`${words} (${why}.)`, ...hints].join(' '))]
  if (shared !== true && nodes.length > 1)
    findings.push(ok('storage', config.storage, `Not shared: a machine stays on its node, and needs a template there (${listed(nodes)}).`))
  if (config.include_ram && way === 'store') findings.push(warning('fork', config.storage, 'Snapshots keep the memory, but no fork here begins from one.'))
  return findings
}
