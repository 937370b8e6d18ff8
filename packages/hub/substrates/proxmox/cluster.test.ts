import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { CreateSubstrate, ProxmoxConfig } from '@autovibe/contract'
import { type Stage, stage } from '../../../../test/proxmox/stage.ts'
import { credentialsOf } from './client/test-client.ts'
import { driverSettings, openClient, type ProxmoxCluster } from './cluster.ts'

let at: Stage
before(async () => {
  at = await stage({ nodes: [{ name: 'pve1' }, { name: 'pve2' }], storages: [{ id: 'ceph', type: 'rbd' }], secondMs: 1 })
  await at.create(9000, 'ceph')
})
after(() => at.close())

function cluster(more: Partial<ProxmoxConfig> = {}): ProxmoxCluster {
  const credentials = credentialsOf(at.pve.adminToken)
  assert.ok(credentials.kind === 'token')
  const given = CreateSubstrate.parse({
    name: 'lab',
    doors: [...at.pve.urls].map(([name, url]) => ({ url, fingerprint: at.pve.fingerprints.get(name) })),
    token_id: credentials.id,
    token_secret: credentials.secret,
    storage: 'ceph',
    templates: [{ vmid: 9000 }],
    gate: { listen: '0.0.0.0:7443', advertised: '10.90.0.2:7443' },
    network: { kind: 'static', subnet: '10.90.0.0/18', first: '10.90.1.0', nameserver: '10.90.0.1' },
  })
  return { name: 'lab', config: { ...ProxmoxConfig.parse(given), ...more }, tokenSecret: credentials.secret }
}

test('the driver goes by what was brought, with the node that the cluster says a template is on', async () => {
  const client = openClient(cluster())
  const settings = await driverSettings(client, cluster(), AbortSignal.timeout(10_000))
  assert.deepEqual(settings.templates, [{ vmid: 9000, node: 'pve1' }])
  assert.deepEqual([settings.gate, settings.nameserver], [{ host: '10.90.0.2', port: 7443 }, '10.90.0.1'])
  assert.equal(settings.ipConfig(900_007), 'ip=10.90.1.7/18')
  assert.deepEqual([settings.defaultLimits.cores, settings.defaultLimits.memory_bytes], [2, 4 * 1024 ** 3])
  await assert.rejects(driverSettings(client, cluster({ templates: [{ vmid: 9999, node: null }] }), AbortSignal.timeout(10_000)), { code: 'substrate.failed' })
  await client.close()
})

test('what was brought with its nodes is taken as it was said, without a question', async () => {
  const client = openClient(cluster())
  const asked = at.pve.journal.entries.length
  const told = cluster({ templates: [{ vmid: 9001, node: 'pve2' }], network: { kind: 'dhcp' } })
  const settings = await driverSettings(client, told, AbortSignal.timeout(10_000))
  assert.deepEqual([settings.templates, settings.ipConfig(900_007), settings.nameserver], [[{ vmid: 9001, node: 'pve2' }], 'ip=dhcp', undefined])
  assert.equal(at.pve.journal.entries.length, asked)
  await client.close()
})
