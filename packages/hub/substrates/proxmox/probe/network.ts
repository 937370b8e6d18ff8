/** The way of machines: the bridge on every node, and the firewall without which nothing fences them in. */
import type { Finding } from '@autovibe/contract'
import { failed, looked, ok, warning } from './findings.ts'
import { type NodesSite, setCommand } from './site.ts'

export async function probeBridge(site: NodesSite): Promise<readonly Finding[]> {
  const { config, client, signal, nodes } = site
  const { bridge } = config
  const each = await Promise.all(
    nodes.map((node) =>
      looked('bridge', `${bridge} on ${node}`, signal, async () => {
        const bridges = await client.call('GET /nodes/{node}/network', { node, type: 'any_bridge' }, { signal })
        const found = bridges.find(({ iface }) => iface === bridge)
        if (found === undefined) {
          const make = `pvesh create /nodes/${node}/network --iface ${bridge} --type bridge --autostart 1 && pvesh set /nodes/${node}/network`
          return [
            failed(
              'bridge',
              `${bridge} on ${node}`,
              `${node} has no bridge ${bridge} that the token may see.`,
              `${make}, or another bridge: ${setCommand(site, '--bridge BRIDGE')}`,
            ),
          ]
        }
        if (found.active !== true) return [failed('bridge', `${bridge} on ${node}`, 'It is not active.', `pvesh set /nodes/${node}/network`)]
        return [ok('bridge', `${bridge} on ${node}`, 'active')]
      }),
    ),
  )
  return each.flat()
}

const KEEP_IN = 'First see that you stay in yourself: the datacenter’s own rules begin to hold too (pve-firewall compile).'

export async function probeFirewall({ client, signal, nodes }: NodesSite): Promise<readonly Finding[]> {
  const datacenter = await looked('firewall', 'datacenter', signal, async () => {
    const { enable } = await client.call('GET /cluster/firewall/options', {}, { signal })
    if (enable === true) return [ok('firewall', 'datacenter', 'on')]
    const detail = 'It is off, and with it the firewall of every VM: machines would reach whatever their bridge reaches.'
    return [failed('firewall', 'datacenter', detail, `pvesh set /cluster/firewall/options --enable 1. ${KEEP_IN}`)]
  })
  const each = await Promise.all(
    nodes.map((node) =>
      looked('firewall', node, signal, async () => {
        const { enable } = await client.call('GET /nodes/{node}/firewall/options', { node }, { signal })
        // Left out it is on.
        if (enable !== false) return [ok('firewall', node, 'on')]
        const detail = 'The node’s own rules are off. Those of VMs hold without them, but machines reach what the node listens on at their bridge.'
        return [warning('firewall', node, detail, `pvesh set /nodes/${node}/firewall/options --enable 1`)]
      }),
    ),
  )
  return [...datacenter, ...each.flat()]
}
