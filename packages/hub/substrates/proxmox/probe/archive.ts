/** The storage for archives: there on each node, for backups, and best a backup server. */
import type { Finding } from '@autovibe/contract'
import type { AnswerOf } from '../client/endpoints.ts'
import { failed, gib, listed, looked, ok, warning } from './findings.ts'
import { type NodesSite, setCommand } from './site.ts'

type Storage = AnswerOf<'GET /nodes/{node}/storage'>[number]

/** Nothing where no archives are taken. */
export async function probeArchive(site: NodesSite): Promise<readonly Finding[]> {
  const { config, client, signal, nodes } = site
  const name = config.archive
  if (name === null) return []
  return looked('archive', name, signal, async () => {
    const seen = await Promise.all(
      nodes.map(async (node) => {
        const storages = await client.call('GET /nodes/{node}/storage', { node }, { signal })
        return {
          node,
          storage: storages.find(({ storage, enabled }) => storage === name && enabled !== false) ?? storages.find(({ storage }) => storage === name),
        }
      }),
    )
    const there = seen.flatMap(({ storage }) => storage ?? [])
    const [first] = there
    if (first === undefined)
      return [failed('archive', name, `There is no storage ${name} that the token may see.`, `pvesm status; then ${setCommand(site, '--archive STORAGE')}`)]
    const usable = seen.filter(({ storage }) => storage !== undefined && isUsable(storage))
    const findings = seen.flatMap(({ node, storage }) => nodeFindings(site, name, node, storage))
    if (usable.length === 0) return findings
    return [
      ...findings,
      kindFinding(
        name,
        first,
        usable.map(({ node }) => node),
      ),
    ]
  })
}

const takesBackups = ({ content }: Storage): boolean => content.split(',').includes('backup')
const isUsable = (storage: Storage): boolean => takesBackups(storage) && storage.enabled !== false && storage.active !== false

function nodeFindings(site: NodesSite, name: string, node: string, storage: Storage | undefined): Finding[] {
  const where = `${name} on ${node}`
  if (storage === undefined || storage.enabled === false)
    return [
      failed(
        'archive',
        where,
        'It is not there, or disabled: machines of this node cannot be archived.',
        `pvesm set ${name} --disable 0 --nodes ${site.nodes.join(',')}`,
      ),
    ]
  if (!takesBackups(storage)) {
    const content = [...storage.content.split(',').filter((each) => each !== ''), 'backup']
    return [failed('archive', where, 'It takes no backups.', `pvesm set ${name} --content ${content.join(',')}`)]
  }
  return storage.active === false ? [failed('archive', where, 'It is not active.', `On ${node}: pvesm status --storage ${name}`)] : []
}

function kindFinding(name: string, { type, shared, avail }: Storage, nodes: readonly string[]): Finding {
  const room = avail === undefined ? '' : `, ${gib(avail)} free`
  if (type === 'pbs') return ok('archive', name, `A backup server: what is the same in several copies lies there once, and it reads them back${room}.`)
  const alone = shared === true ? '' : ` It lies on ${listed(nodes)} itself, and goes with it.`
  return warning(
    'archive',
    name,
    `It is ${type} and no Proxmox Backup Server: each copy is whole, and nobody reads it back${room}.${alone}`,
    `Add a backup server (pvesm add pbs …), then: autovibe substrate set NAME --archive STORAGE`,
  )
}
