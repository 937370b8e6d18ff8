import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { CreateSubstrate, type Finding, ProxmoxConfig } from '@autovibe/contract'
import { type Stage, stage } from '../../../../../test/proxmox/stage.ts'
import type { ProxmoxClient } from '../client/client.ts'
import { pveumLines } from '../client/privileges.ts'
import { clientOf, credentialsOf } from '../client/test-client.ts'
import { probeArchive } from './archive.ts'
import type { NodesSite } from './site.ts'
import { probeToken } from './token.ts'

const SITE = { user: 'autovibe@pve', token: 'hub', pool: 'autovibe', storages: ['thin', 'files', 'isos', 'backups'], bridges: ['vmbr1'] }
let at: Stage
let client: ProxmoxClient
before(async () => {
  at = await stage({
    nodes: [{ name: 'pve1' }, { name: 'pve2' }],
    storages: [
      { id: 'thin', type: 'lvmthin' },
      { id: 'files', type: 'dir', content: ['images'] },
      { id: 'isos', type: 'dir', content: ['iso', 'backup'] },
      { id: 'backups', type: 'pbs' },
    ],
    secondMs: 1,
  })
  for (const line of pveumLines(SITE)) {
    const answer = (await at.pve.pveum(line)) as { 'full-tokenid'?: string; value?: string } | null
    if (answer?.value !== undefined) client = clientOf(at.pve, { credentials: credentialsOf(`${answer['full-tokenid']}=${answer.value}`) })
  }
})
after(async () => {
  await client.close()
  await at.close()
})

function site(archive: string | null): NodesSite {
  const given = CreateSubstrate.parse({
    name: 'lab',
    doors: [{ url: at.pve.url, fingerprint: at.pve.fingerprint }],
    token_id: 'autovibe@pve!hub',
    token_secret: 'secret',
    storage: 'thin',
    templates: [{ vmid: 9000 }],
    gate: { listen: '127.0.0.1:7443', advertised: '10.90.0.2:7443' },
    archive,
  })
  return { name: 'lab', config: ProxmoxConfig.parse(given), client, signal: AbortSignal.timeout(20_000), nodes: ['pve1', 'pve2'] }
}
const about = async (archive: string): Promise<(string | null | undefined)[]> => {
  const [first] = await probeArchive(site(archive))
  return [first?.status, first?.name, first?.fix]
}

test('a storage that is not there, takes no backups or is disabled is named with its line', async () => {
  assert.deepEqual(await about('nowhere'), ['failed', 'nowhere', 'pvesm status; then autovibe substrate set lab --archive STORAGE'])
  assert.deepEqual(await about('files'), ['failed', 'files on pve1', 'pvesm set files --content images,backup'])
  const backups = at.pve.cluster.storages.get('backups')
  backups.disabled = true
  assert.deepEqual(await about('backups'), ['failed', 'backups on pve1', 'pvesm set backups --disable 0 --nodes pve1,pve2'])
  backups.disabled = false
})

test('a backup server is good, another storage only nearly, and without one nothing is said', async () => {
  assert.deepEqual(await about('backups'), ['ok', 'backups', null])
  const [found] = await probeArchive(site('isos'))
  assert.equal(found?.status, 'warning')
  assert.match(found?.detail ?? '', /no Proxmox Backup Server.*nobody reads it back.*goes with it/)
  assert.deepEqual(await probeArchive(site(null)), [])
})

test('the privilege that copies need is missed only where there is a storage for them, and is there after its lines', async (t) => {
  if (at.pve.descriptionFile === null) return t.skip('Proxmox’s description is not beside this checkout')
  const wrong = async (archive: string | null): Promise<Finding[]> => (await probeToken(site(archive))).findings.filter(({ status }) => status !== 'ok')
  assert.deepEqual(await wrong(null), [])
  const [missing, ...others] = await wrong('backups')
  assert.deepEqual([missing?.detail, missing?.name, others], ['autovibe@pve!hub has not VM.Backup.', '/pool/autovibe', []])
  await at.pve.pveum('pveum role add AutovibeArchives --privs "VM.Backup"')
  for (const line of (missing?.fix ?? '').split(' && ')) await at.pve.pveum(line)
  assert.deepEqual(await wrong('backups'), [])
})
