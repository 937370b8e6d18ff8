import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { IncomingHttpHeaders } from 'node:http'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Stage, stage } from '../../../../../test/proxmox/stage.ts'
import type { ProxmoxClient } from './client.ts'
import { awaitTask } from './tasks.ts'
import { clientOf, ownDoor, sendJson } from './test-client.ts'
import type { Upload } from './upload.ts'

let at: Stage
let client: ProxmoxClient
let folder: string
let upload: Upload
before(async () => {
  at = await stage({ secondMs: 1 })
  client = clientOf(at.pve)
  folder = await mkdtemp(join(tmpdir(), 'upload-'))
  const bytes = Buffer.from('a disc, with --autovibe and \r\n\r\n in it '.repeat(60_000))
  const path = join(folder, 'disc.iso')
  await writeFile(path, bytes)
  const file = { path, sizeBytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
  upload = { node: 'pve1', storage: 'local', content: 'iso', filename: 'disc.iso', file }
})
after(async () => {
  await client.close()
  await at.close()
  await rm(folder, { recursive: true, force: true })
})

test('a file arrives byte for byte, told with its length, and its sum is checked there', async () => {
  await awaitTask(client, await client.upload(upload), { deadlineMs: 20_000 })
  const listed = await client.call('GET /nodes/{node}/storage/{storage}/content', { node: 'pve1', storage: 'local', content: 'iso' })
  assert.deepEqual(
    listed.map(({ volid, size }) => [volid, size]),
    [['local:iso/disc.iso', upload.file.sizeBytes]],
  )
  const other = { ...upload, filename: 'other.iso', file: { ...upload.file, sha256: '0'.repeat(64) } }
  await assert.rejects(awaitTask(client, await client.upload(other), { deadlineMs: 20_000 }), { kind: 'task failed', message: /checksum mismatch/ })
})

test('it is read from the file piece by piece, no faster than it is taken', async () => {
  let most = 0
  const taken = Promise.withResolvers<{ length: number; headers: IncomingHttpHeaders }>()
  const door = await ownDoor((incoming, response) => {
    let length = 0
    incoming.on('data', (piece: Buffer) => {
      length += piece.length
      most = Math.max(most, piece.length)
    })
    incoming.on('end', () => {
      taken.resolve({ length, headers: incoming.headers })
      sendJson(response, 'UPID:pve1:00000001:00000001:00000001:imgcopy::root@pam:')
    })
  })
  const other = clientOf(at.pve, { doors: [{ url: door.url, fingerprint: door.fingerprint }] })
  try {
    await other.upload(upload)
    const { length, headers } = await taken.promise
    assert.deepEqual([headers['transfer-encoding'], headers['content-length']], [undefined, String(length)])
    assert.ok(most <= 256 * 1024, String(most))
  } finally {
    await other.close()
    await door.close()
  }
})

test('a name that would lead elsewhere is not sent, neither of a file nor of a volume', async () => {
  const asked = at.pve.journal.entries.length
  for (const filename of ['../a.iso', 'a/b.iso', 'a".iso', 'a\r\n.iso', '']) await assert.rejects(client.upload({ ...upload, filename }), RangeError)
  const volume = 'DELETE /nodes/{node}/storage/{storage}/content/{volume}'
  for (const wrong of [
    'local:iso/../x',
    'local:iso/a/b.iso',
    'local:backup/a.iso',
    'local:backup/vm/100/../../x',
    'local:backup/vzdump-qemu-100-/x',
    '../../x',
    'local:iso/..',
    'local:iso/a?b',
  ])
    await assert.rejects(client.call(volume, { node: 'pve1', storage: 'local', volume: wrong }), { code: 'substrate.failed' }, wrong)
  assert.equal(at.pve.journal.entries.length, asked)
})

test('the stand-in takes no body without its length, as Proxmox does', async () => {
  const { status, reason } = await new Promise<{ status: number | undefined; reason: string | undefined }>((resolve, reject) => {
    const headers = { authorization: `PVEAPIToken=${at.pve.adminToken}`, 'content-type': 'multipart/form-data; boundary=b' }
    const sent = request(`${at.pve.url}/api2/json/nodes/pve1/storage/local/upload`, { method: 'POST', headers, rejectUnauthorized: false }, (answer) => {
      answer.resume()
      resolve({ status: answer.statusCode, reason: answer.statusMessage })
    })
    sent.on('error', reject)
    // Two pieces of which nobody has told the length.
    sent.write('--b\r\n')
    sent.end('--b--\r\n')
  })
  assert.deepEqual([status, reason], [501, 'chunked transfer encoding not supported'])
})
