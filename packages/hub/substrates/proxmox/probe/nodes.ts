/** The nodes: which are there and up, and whether a majority agrees. */
import type { Finding } from '@autovibe/contract'
import { failed, listed, looked, ok, warning } from './findings.ts'
import { type Site, setCommand } from './site.ts'

/** The findings, and the nodes that can be looked at further. */
export async function probeNodes(site: Site): Promise<{ findings: readonly Finding[]; nodes: readonly string[] }> {
  const { client, signal } = site
  let nodes: readonly string[] = []
  const findings = await looked('node', 'all', signal, async () => {
    const listedNodes = await client.call('GET /nodes', {}, { signal })
    const state = new Map(listedNodes.map(({ node, status }) => [node, status]))
    const wanted = site.config.nodes ?? [...state.keys()].sort()
    nodes = wanted.filter((node) => state.get(node) === 'online')
    return [...wanted.map((node) => nodeFinding(site, node, state, nodes.length > 0)), ...(await maintenance(site, wanted))]
  })
  const quorum = await looked('node', 'quorum', signal, () => quorumFinding(site))
  return { findings: [...findings, ...quorum], nodes }
}

function nodeFinding(site: Site, node: string, state: ReadonlyMap<string, string>, others: boolean): Finding {
  const status = state.get(node)
  if (status === undefined)
    return failed('node', node, `The cluster has no node ${node}.`, setCommand(site, `--node ${[...state.keys()].sort().join(' --node ')}`))
  if (status === 'online') return ok('node', node, 'online')
  const fix = `See whether it is up and reached by the others: pvecm nodes`
  // Machines go to the others meanwhile; its own are out of reach.
  return (others ? warning : failed)('node', node, `It is ${status}: machines on it are out of reach, and none is made there.`, fix)
}

async function maintenance({ client, signal }: Site, wanted: readonly string[]): Promise<Finding[]> {
  const resources = await client.call('GET /cluster/resources', { type: 'node' }, { signal })
  return resources
    .filter(({ node, hastate }) => node !== undefined && wanted.includes(node) && hastate === 'maintenance')
    .map(({ node = '' }) =>
      warning('node', node, 'It is under maintenance: no machine is made there.', `ha-manager crm-command node-maintenance disable ${node}`),
    )
}

async function quorumFinding({ client, signal }: Site): Promise<Finding[]> {
  const status = await client.call('GET /cluster/status', {}, { signal })
  const cluster = status.find(({ type }) => type === 'cluster')
  if (cluster === undefined) return [ok('node', 'quorum', 'A single node needs none.')]
  const away = status.filter(({ type, online }) => type === 'node' && online === false).map(({ name }) => name)
  if (cluster.quorate === true)
    return [ok('node', 'quorum', away.length === 0 ? `${cluster.name} is quorate` : `${cluster.name} is quorate without ${listed(away)}`)]
  return [
    failed('node', 'quorum', `${cluster.name} has no majority${away.length === 0 ? '' : ` without ${listed(away)}`}: nothing can be changed.`, 'pvecm status'),
  ]
}
