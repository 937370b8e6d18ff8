/** What the gate keeps: in the database alone, taken over once from the files of a Hub of before, whatever a start is killed at. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { access, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { decodeInvitation, type MachineId } from '@autovibe/contract'
import { SECRETS } from '../../../checkpoints/testing/place.ts'
import { createSecrets, GATE_KEY_CONTEXT, gateKeySealing } from '../../../security/secrets.ts'
import { newCertificate } from './certificate.ts'
import { keptCertificate } from './kept-certificate.ts'
import { Ground, newMachine } from './testing/ground.ts'
import { hello, register } from './testing/raw-peer.ts'

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

/** A ground whose gate has not been opened on this data directory yet: what lies there is what a Hub of before has left. */
async function before(t: TestContext) {
  const ground = await Ground.open()
  t.after(() => ground.close())
  await ground.closeGate()
  const { db } = ground.database
  await db.deleteFrom('gate').execute()
  await db.deleteFrom('gate_admissions').execute()
  const folder = join(ground.folder, 'hub/gate')
  await mkdir(join(folder, 'machines'), { recursive: true })
  const certificate = newCertificate(new Date())
  await writeFile(join(folder, 'certificate.pem'), certificate.key + certificate.cert)
  const machineId = newMachine()
  const token = `${machineId.slice(4)}.${randomBytes(24).toString('base64url')}`
  const admission = { version: 1, secret: sha256('secret'), claim: sha256('claim'), tokens: [sha256('older'), sha256(token)] }
  const put = (name: string, text: string) => writeFile(join(folder, 'machines', name), text)
  await put(`${machineId}.json`, JSON.stringify(admission))
  await put(`${newMachine()}.json`, '{"half":')
  await put(`${newMachine()}.json.77-1`, JSON.stringify(admission))
  await put('README', 'no machine')
  const options = {
    db,
    sealing: gateKeySealing(SECRETS),
    logger: { info: () => undefined, warn: () => undefined },
    folder,
    address: '10.90.0.2:7443',
    now: new Date(),
  }
  return { ground, db, folder, certificate, machineId, token, options }
}

const links = async (ground: Ground, token: string): Promise<string | undefined> =>
  (await hello(ground.gate.port, { wants: 'link', version: 1, token })).welcome?.is

const isGone = (path: string): Promise<boolean> =>
  access(path).then(
    () => false,
    () => true,
  )

test('files of before are taken over once, with certificate and machines, and are then removed', async (t) => {
  const { ground, db, folder, certificate, token } = await before(t)
  await ground.openGate()
  assert.equal(ground.gate.fingerprint, certificate.fingerprint)
  assert.equal(await links(ground, token), 'linked')
  assert.deepEqual(await readdir(folder), ['doors'])
  const { key_sealed } = await db.selectFrom('gate').select('key_sealed').executeTakeFirstOrThrow()
  assert.equal(SECRETS.open(key_sealed, GATE_KEY_CONTEXT), certificate.key)
  assert.ok(!key_sealed.includes('PRIVATE KEY'))
})

test('a Hub that moves with its database and its master key alone is the same to its machines', async (t) => {
  const ground = await Ground.open()
  t.after(() => ground.close())
  const machineId = newMachine()
  const token = await register(ground.gate.port, await ground.gate.invite(machineId))
  const { fingerprint } = ground.gate
  await ground.closeGate()
  await rm(join(ground.folder, 'hub'), { recursive: true })
  await ground.openGate()
  assert.equal(ground.gate.fingerprint, fingerprint)
  assert.equal(await links(ground, token), 'linked')
})

test('a start that is killed before it commits does it again, and one that is killed before it has removed the files finds it done', async (t) => {
  const { ground, db, folder, certificate, token, options, machineId } = await before(t)
  // Killed in its transaction: nothing of it is there, and the files are.
  await assert.rejects(
    keptCertificate({
      ...options,
      sealing: {
        ...options.sealing,
        seal: () => {
          throw new Error('killed')
        },
      },
    }),
    /killed/,
  )
  assert.deepEqual([(await db.selectFrom('gate').select('made_at').execute()).length, await isGone(join(folder, 'certificate.pem'))], [0, false])
  const files = await readdir(folder)
  await keptCertificate(options)
  const admitted = await db.selectFrom('gate_admissions').selectAll().execute()
  assert.deepEqual(
    admitted.map(({ machine_id, address }) => [machine_id, address]),
    [[machineId, '10.90.0.2:7443']],
  )
  // Killed after it: the files are there again, with another certificate and nobody in them, and count for nothing.
  assert.deepEqual(files.sort(), ['certificate.pem', 'doors', 'machines'])
  const other = newCertificate(new Date())
  await writeFile(join(folder, 'certificate.pem'), other.key + other.cert)
  await ground.openGate()
  assert.equal(ground.gate.fingerprint, certificate.fingerprint)
  assert.equal(await links(ground, token), 'linked')
  assert.deepEqual(await readdir(folder), ['doors'])
})

test('starts that begin at once end with one certificate and the same machines', async (t) => {
  const { db, options } = await before(t)
  const ended = await Promise.all(Array.from({ length: 5 }, () => keptCertificate(options)))
  assert.equal(new Set(ended.map(({ fingerprint }) => fingerprint)).size, 1)
  assert.equal((await db.selectFrom('gate_admissions').select('machine_id').execute()).length, 1)
})

test('with another master key the gate does not open under another certificate', async (t) => {
  const { options } = await before(t)
  await keptCertificate(options)
  await assert.rejects(keptCertificate({ ...options, sealing: gateKeySealing(createSecrets(randomBytes(32))) }), { code: 'internal' })
})

test('what a database does not take lets nobody in, and forgetting is for good', async (t) => {
  const ground = await Ground.open()
  t.after(() => ground.close())
  const machineId: MachineId = newMachine()
  const invitation = await ground.gate.invite(machineId)
  const token = await register(ground.gate.port, invitation)
  await ground.gate.forget(machineId)
  await ground.closeGate()
  await ground.openGate()
  assert.equal(await links(ground, token), 'refused')
  const secret = decodeInvitation(invitation)?.secret ?? ''
  assert.equal((await hello(ground.gate.port, { wants: 'register', version: 1, secret, claim: 'c'.repeat(43) })).welcome?.is, 'refused')
})
