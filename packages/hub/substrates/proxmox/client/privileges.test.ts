import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { descriptionFile, type Method } from '../../../../../test/proxmox/description.ts'
import { type Stage, stage } from '../../../../../test/proxmox/stage.ts'
import { until } from '../../../../../test/support/until.ts'
import type { ProxmoxClient } from './client.ts'
import { ENDPOINTS, type EndpointName, type ParametersOf, type TaskEndpointName } from './endpoints.ts'
import { ProxmoxError } from './errors.ts'
import { NEEDS } from './needs.ts'
import { neededPrivileges, pveumLines } from './privileges.ts'
import { awaitTask } from './tasks.ts'
import { clientOf, credentialsOf } from './test-client.ts'

const file = descriptionFile()
const skip = file === null ? 'Proxmox’s description is not beside this checkout' : false
const SITE = { user: 'autovibe@pve', token: 'hub', pool: 'autovibe', storages: ['thin'], bridges: ['vmbr1'] }
/** What the token of these tests is let do: everything that is ever called. */
const WHOLE = { ...SITE, archive: 'pbs' }
const TEMPLATE = 9000
const OURS = 200

test('what is written of an endpoint’s checks is what Proxmox’s description says', { skip }, () => {
  const methods = JSON.parse(readFileSync(file ?? '', 'utf8')) as Method[]
  for (const [name, { described }] of Object.entries(NEEDS)) {
    const method = methods.find((each) => `${each.method} ${each.path}` === name)
    assert.ok(method, `${name} is not described`)
    assert.equal(method.allowtoken, 1, `${name} is not for tokens`)
    if (described === null) assert.deepEqual([method.permissions?.user, method.permissions?.check], ['all', undefined], name)
    else assert.deepEqual(method.permissions?.check, described, name)
  }
})

test('the lines for an administrator, as they are typed', (t) => {
  t.assert.fileSnapshot(`${pveumLines(SITE).join('\n')}\n`, new URL('./pveum.golden.txt', import.meta.url).pathname, { serializers: [String] })
})

test('the lines of a site that keeps archives are the same and three more places, so that they can be typed later', () => {
  const before = new Set(pveumLines(SITE))
  const grants = (to: string): string[] => [
    `pveum acl modify /pool/autovibe ${to} --roles AutovibeArchives`,
    `pveum acl modify /storage/pbs ${to} --roles AutovibeStorages`,
  ]
  assert.deepEqual(
    pveumLines(WHOLE).filter((line) => !before.has(line)),
    ['pveum role add AutovibeArchives --privs "VM.Backup"', ...grants('--users autovibe@pve'), ...grants("--tokens 'autovibe@pve!hub'")],
  )
})

test('a name that a shell or pveum would read otherwise is refused', () => {
  for (const wrong of [{ pool: 'a b' }, { user: 'root' }, { token: '$(id)' }, { storages: ["a'b"] }, { bridges: ['-x'] }, { archive: 'a b' }])
    assert.throws(() => pveumLines({ ...SITE, ...wrong }), { code: 'request.invalid' })
})

/** Calls one endpoint in the test's way. */
type Caller = <N extends EndpointName>(name: N, parameters: ParametersOf<N>) => Promise<void>

/** Every listed endpoint, in the order of a machine's life. */
async function wholeLife(call: Caller): Promise<void> {
  const [node, vmid, snapname] = ['pve1', OURS, 's1']
  const vm = { node, vmid }
  await call('GET /version', {})
  await call('GET /access/permissions', {})
  await call('GET /cluster/resources', { type: 'vm' })
  await call('GET /cluster/status', {})
  await call('GET /cluster/firewall/options', {})
  await call('GET /cluster/nextid', { vmid: OURS })
  await call('GET /nodes', {})
  await call('GET /nodes/{node}/status', { node })
  await call('GET /nodes/{node}/firewall/options', { node })
  await call('GET /nodes/{node}/network', { node, type: 'any_bridge' })
  await call('GET /nodes/{node}/storage', { node })
  await call('GET /nodes/{node}/storage/{storage}/status', { node, storage: 'thin' })
  await call('GET /nodes/{node}/storage/{storage}/content', { node, storage: 'thin' })
  await call('POST /nodes/{node}/qemu/{vmid}/clone', { node, vmid: TEMPLATE, newid: OURS, pool: SITE.pool, name: 'ours', full: true, storage: 'thin' })
  await call('GET /nodes/{node}/qemu/{vmid}/config', vm)
  await call('PUT /nodes/{node}/qemu/{vmid}/config', {
    ...vm,
    cores: 2,
    memory: '1024',
    net0: 'virtio,bridge=vmbr1,firewall=1',
    ciuser: 'agent',
    tags: 'autovibe',
    smbios1: 'serial=aGVyZQ==,base64=1',
    onboot: true,
  })
  await call('PUT /nodes/{node}/qemu/{vmid}/resize', { ...vm, disk: 'scsi0', size: '2G' })
  await call('GET /nodes/{node}/qemu/{vmid}/feature', { ...vm, feature: 'snapshot' })
  await call('PUT /nodes/{node}/qemu/{vmid}/firewall/options', { ...vm, enable: true, policy_in: 'DROP' })
  await call('GET /nodes/{node}/qemu/{vmid}/firewall/options', vm)
  await call('POST /nodes/{node}/qemu/{vmid}/firewall/rules', {
    ...vm,
    type: 'out',
    action: 'ACCEPT',
    enable: 1,
    proto: 'tcp',
    dport: '8443',
    dest: '192.0.2.1',
  })
  await call('GET /nodes/{node}/qemu/{vmid}/firewall/rules', vm)
  await call('DELETE /nodes/{node}/qemu/{vmid}/firewall/rules/{pos}', { ...vm, pos: 0 })
  await call('POST /nodes/{node}/qemu/{vmid}/status/start', vm)
  await call('GET /nodes/{node}/qemu/{vmid}/status/current', vm)
  await call('GET /nodes/{node}/qemu/{vmid}/rrddata', { ...vm, timeframe: 'hour' })
  await call('POST /nodes/{node}/qemu/{vmid}/agent/ping', vm)
  await call('POST /nodes/{node}/qemu/{vmid}/agent/fsfreeze-freeze', vm)
  await call('POST /nodes/{node}/qemu/{vmid}/agent/fsfreeze-thaw', vm)
  await call('POST /nodes/{node}/vzdump', {
    node,
    vmid: String(vmid),
    storage: 'pbs',
    mode: 'snapshot',
    'notes-template': 'ours',
    protected: true,
    remove: false,
  })
  const pbs = { node, storage: 'pbs' }
  // By its name, which a token that may not see it does not learn.
  const volume = at.pve.cluster.storages.volumes(at.pve.cluster.storages.get('pbs'), node).at(-1)?.volid ?? `pbs:backup/vm/${vmid}/2026-01-01T00:00:00Z`
  await call('PUT /nodes/{node}/storage/{storage}/content/{volume}', { ...pbs, volume, protected: false })
  await call('DELETE /nodes/{node}/storage/{storage}/content/{volume}', { ...pbs, volume })
  await call('POST /nodes/{node}/qemu/{vmid}/snapshot', { ...vm, snapname, vmstate: true })
  await call('GET /nodes/{node}/qemu/{vmid}/snapshot', vm)
  await call('POST /nodes/{node}/qemu/{vmid}/snapshot/{snapname}/rollback', { ...vm, snapname })
  await call('DELETE /nodes/{node}/qemu/{vmid}/snapshot/{snapname}', { ...vm, snapname })
  await call('POST /nodes/{node}/qemu/{vmid}/status/shutdown', vm)
  await call('POST /nodes/{node}/qemu/{vmid}/status/start', vm)
  await call('POST /nodes/{node}/qemu/{vmid}/status/stop', vm)
  await call('DELETE /nodes/{node}/qemu/{vmid}', { ...vm, purge: true })
}

let at: Stage
let client: ProxmoxClient
before(async () => {
  at = await stage({
    storages: [
      { id: 'thin', type: 'lvmthin' },
      { id: 'pbs', type: 'pbs' },
    ],
    secondMs: 1,
  })
  await at.create(TEMPLATE, 'thin')
  for (const line of pveumLines(WHOLE)) {
    const answer = (await at.pve.pveum(line)) as { 'full-tokenid'?: string; value?: string } | null
    if (answer?.value !== undefined) client = clientOf(at.pve, { credentials: credentialsOf(`${answer['full-tokenid']}=${answer.value}`) })
  }
  await at.root.ask('PUT', '/pools/autovibe', { vms: TEMPLATE })
})
after(async () => {
  await client.close()
  await at.close()
})

test('a token with exactly these privileges can call every endpoint that is listed', { skip }, async () => {
  const called = new Set<string>()
  await wholeLife(async (name, parameters) => {
    called.add(name)
    const answer = await client.call(name, parameters)
    if (typeof answer !== 'string') return
    await awaitTask(client, answer, { deadlineMs: 20_000 })
    for (const rest of ['GET /nodes/{node}/tasks/{upid}/status', 'GET /nodes/{node}/tasks/{upid}/log', 'DELETE /nodes/{node}/tasks/{upid}'] as const) {
      called.add(rest)
      await client.call(rest, { node: 'pve1', upid: answer })
    }
    called.add('GET /nodes/{node}/tasks')
    assert.ok((await client.call('GET /nodes/{node}/tasks', { node: 'pve1', source: 'all' })).some(({ upid }) => upid === answer))
  })
  assert.deepEqual(
    Object.keys(ENDPOINTS).filter((name) => !called.has(name)),
    [],
  )
})

test('on a VM outside the pool it may do nothing', { skip }, async () => {
  at.pve.plantVm({ vmid: 500, node: 'pve1', name: 'mail' })
  const digest = at.pve.digestOfVm(500)
  for (const name of Object.keys(ENDPOINTS) as EndpointName[]) {
    if (!name.includes('/qemu/{vmid}')) continue
    // Privileges are checked before any parameter but those of the path.
    const parameters = { node: 'pve1', vmid: 500, snapname: 's1', pos: 0 }
    const given = Object.fromEntries(Object.entries(parameters).filter(([key]) => name.includes(`{${key}}`)))
    await assert.rejects(client.call(name as TaskEndpointName, given as unknown as ParametersOf<TaskEndpointName>), { kind: 'forbidden' }, name)
  }
  assert.equal(at.pve.digestOfVm(500), digest)
})

const ROLE_OF: Readonly<Record<string, string>> = {
  vm: 'Machines',
  storage: 'Storages',
  node: 'Nodes',
  cluster: 'Cluster',
  bridge: 'Bridges',
  archive: 'Archives',
}
for (const [place, privileges] of Object.entries(neededPrivileges()))
  for (const privilege of privileges)
    test(`without ${privilege} on ${place} some endpoint refuses`, { skip }, async () => {
      const set = (rest: readonly string[]): void => at.pve.access.addRole(`Autovibe${ROLE_OF[place]}`, rest)
      set(privileges.filter((each) => each !== privilege))
      const refused: string[] = []
      await wholeLife(async (name, parameters) => {
        try {
          const answer = await client.call(name, parameters, { lockDeadlineMs: 1000 })
          if (typeof answer === 'string') await at.root.ended(answer)
        } catch (error) {
          if (!(error instanceof ProxmoxError) || error.kind === 'node unreachable') throw error
          if (error.kind === 'forbidden') refused.push(name)
        }
      })
      set(privileges)
      assert.notDeepEqual(refused, [])
      if (at.pve.cluster.vms.has(OURS)) await removed()
    })

async function removed(): Promise<void> {
  await at.root.task('POST', `/nodes/pve1/qemu/${OURS}/status/stop`).catch(() => 'it does not run')
  await until('the VM is gone', 20_000, async () => {
    if (at.pve.cluster.vms.has(OURS)) await at.root.task('DELETE', `/nodes/pve1/qemu/${OURS}`)
    return at.pve.cluster.vms.has(OURS) ? undefined : true
  })
}
