/** A rotation of the master key that is killed anywhere loses no secret, and the next start of a Hub finishes it. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { ApiKeyId, MachineId, ProjectId } from '@autovibe/contract'
import { sql } from 'kysely'
import { openFolderStore } from '../checkpoints/create-checkpoint-store.ts'
import { changesOf } from '../checkpoints/testing/folder-changes.ts'
import { never, put } from '../checkpoints/testing/place.ts'
import { type FreshDatabase, freshDatabase } from '../database/testing.ts'
import { systemRuntime } from '../runtime.ts'
import { machineTokens } from './machine-tokens.ts'
import { loadMasterKeys, ROTATION_STEPS, rotateMasterKey } from './master-key.ts'
import { resealSecrets, SEALED_COLUMNS, settleMasterKeys } from './reseal.ts'
import { createSecrets, GATE_KEY_CONTEXT, idempotencyContext, projectKeyContext, providerKeyContext, type Secrets, substrateTokenContext } from './secrets.ts'

const CHILD = fileURLToPath(new URL('./testing/rotation-child.ts', import.meta.url))
const PROJECT: ProjectId = systemRuntime.newId('project')
const API_KEY: ApiKeyId = systemRuntime.newId('apiKey')
const ORIGIN = 'https://api.example.com'
const ANSWERS = 1_100
const quiet = { info: () => undefined, warn: () => undefined }

const folder = await mkdtemp(join(tmpdir(), 'avrotate-'))
const opened: FreshDatabase[] = []
after(async () => {
  for (const database of opened) await database.close()
  await rm(folder, { recursive: true, force: true })
})

/** A data directory and a database with a secret in each place that has one. */
async function sealedWorld(name: string) {
  const dataDir = join(folder, name)
  const before = await loadMasterKeys(dataDir, {})
  const secrets = createSecrets(before.current)
  const database = await freshDatabase()
  opened.push(database)
  const { db } = database
  const at = new Date()
  await db.insertInto('projects').values({ id: PROJECT, name: 'p', source_sha256: null, created_at: at }).execute()
  const provider = { wire: 'anthropic' as const, base_url: ORIGIN, default_model: 'm', simulated: false, updated_at: at }
  await db
    .insertInto('providers')
    .values([
      { name: 'one', key_sealed: secrets.seal('key one', providerKeyContext('one')), ...provider },
      { name: 'bare', key_sealed: null, ...provider },
    ])
    .execute()
  await db
    .insertInto('project_provider_keys')
    .values({
      project_id: PROJECT,
      provider: 'one',
      origin: ORIGIN,
      key_sealed: secrets.seal('own key', projectKeyContext(PROJECT, 'one', ORIGIN)),
      updated_at: at,
    })
    .execute()
  await db
    .insertInto('substrates')
    .values({ name: 'cluster', kind: 'proxmox', config: '{}', token_sealed: secrets.seal('token', substrateTokenContext('cluster')), updated_at: at })
    .execute()
  await db
    .insertInto('gate')
    .values({ certificate: 'c', key_sealed: secrets.seal('gate key', GATE_KEY_CONTEXT), made_at: at })
    .execute()
  await db
    .insertInto('api_keys')
    .values({ id: API_KEY, name: 'k', role: 'user', secret_hash: 'h', created_at: at, last_used_at: null, revoked_at: null })
    .execute()
  const answers = Array.from({ length: ANSWERS }, (_, index) => {
    const sealed = secrets.seal(`answer ${index}`, idempotencyContext(API_KEY, `k${index}`)).toString('base64')
    return { api_key_id: API_KEY, key: `k${index}`, request_hash: 'h', status: 200, response: JSON.stringify({ sealed }), created_at: at }
  })
  await db.insertInto('idempotency_keys').values(answers).execute()
  const storeDir = `${dataDir}.store`
  const project = (await openFolderStore(storeDir, secrets)).of(PROJECT)
  const tree = { checkpointId: systemRuntime.newId('checkpoint'), parent: null, changes: changesOf(put('kept', 'kept')) }
  const { manifestSha256 } = await project.capture(tree, never)
  return { dataDir, storeDir, manifestSha256, before, ...database }
}
type World = Awaited<ReturnType<typeof sealedWorld>>

async function assertAllOpen({ db, storeDir, manifestSha256 }: World, secrets: Secrets): Promise<void> {
  const project = (await openFolderStore(storeDir, secrets)).of(PROJECT)
  assert.equal((await project.entry(manifestSha256, 'kept'))?.path, 'kept')
  const { key_sealed } = await db.selectFrom('providers').select('key_sealed').where('name', '=', 'one').executeTakeFirstOrThrow()
  assert.equal(key_sealed && secrets.open(key_sealed, providerKeyContext('one')), 'key one')
  const own = await db.selectFrom('project_provider_keys').select('key_sealed').executeTakeFirstOrThrow()
  assert.equal(secrets.open(own.key_sealed, projectKeyContext(PROJECT, 'one', ORIGIN)), 'own key')
  const cluster = await db.selectFrom('substrates').select('token_sealed').executeTakeFirstOrThrow()
  assert.equal(secrets.open(cluster.token_sealed, substrateTokenContext('cluster')), 'token')
  const gate = await db.selectFrom('gate').select('key_sealed').executeTakeFirstOrThrow()
  assert.equal(secrets.open(gate.key_sealed, GATE_KEY_CONTEXT), 'gate key')
  const answers = await db.selectFrom('idempotency_keys').select(['key', 'response']).execute()
  assert.equal(answers.length, ANSWERS)
  for (const { key, response } of answers)
    assert.equal(secrets.open(Buffer.from(String(response?.['sealed']), 'base64'), idempotencyContext(API_KEY, key)), `answer ${key.slice(1)}`)
}

/** What a Hub does with its keys when it starts. */
async function start(world: World, rotates = false) {
  const loaded = await loadMasterKeys(world.dataDir, {})
  const keys = rotates ? await rotateMasterKey(world.dataDir, loaded) : loaded
  const secrets = createSecrets(keys.current, keys.previous)
  // Before anything is sealed again, everything can be opened.
  await assertAllOpen(world, secrets)
  await settleMasterKeys({ ...world, secrets, keys, store: await openFolderStore(world.storeDir, secrets) }, quiet)
  return keys
}

describe('a rotation of the master key', () => {
  const places = [
    'before it',
    'the new key is laid',
    'the old key is kept',
    'the new key is put',
    'all is sealed but not committed',
    'all is sealed',
    'the old key is forgotten',
  ]
  assert.equal(places.length, ROTATION_STEPS.length + 4)
  for (const [steps, place] of places.entries()) {
    it(`that is killed when it has come to "${place}" loses nothing, is finished by the next start, and can be made again`, async () => {
      const world = await sealedWorld(`killed-${steps}`)
      const child = spawn(process.execPath, [CHILD, world.dataDir, world.storeDir, JSON.stringify(world.address), String(steps)], { stdio: 'inherit' })
      assert.deepEqual(await once(child, 'exit'), [null, 'SIGKILL'])
      const finished = await start(world)
      assert.equal(finished.current.equals(world.before.current), steps < ROTATION_STEPS.length)
      await assertAllOpen(world, createSecrets(finished.current))
      const again = await start(world, true)
      assert.ok(!again.current.equals(finished.current))
      await assertAllOpen(world, createSecrets(again.current))
      assert.deepEqual(await readdir(world.dataDir), ['master.key'])
      assert.deepEqual(await readFile(join(world.dataDir, 'master.key')), again.current)
    })
  }

  it('that is asked for again while one is unfinished finishes that one', async () => {
    const world = await sealedWorld('twice')
    for (const step of ROTATION_STEPS) await step(world.dataDir)
    const { current } = await loadMasterKeys(world.dataDir, {})
    assert.deepEqual((await start(world, true)).current, current)
  })

  it('goes by the environment where the keys come from there, as a text or as a file', async () => {
    const world = await sealedWorld('environment')
    const key = randomBytes(32)
    const [old, fresh] = [join(folder, 'old.key'), join(folder, 'new.key')]
    await writeFile(old, world.before.current)
    await writeFile(fresh, `${key.toString('base64')}\n`)
    const keys = await loadMasterKeys(world.dataDir, { AUTOVIBE_MASTER_KEY_FILE: fresh, AUTOVIBE_MASTER_KEY_PREVIOUS_FILE: old })
    assert.deepEqual(keys, { current: key, previous: world.before.current, isOwnFile: false })
    await assert.rejects(rotateMasterKey(world.dataDir, keys), { code: 'request.invalid' })
    const secrets = createSecrets(keys.current, keys.previous)
    await settleMasterKeys({ ...world, secrets, keys, store: await openFolderStore(world.storeDir, secrets) }, quiet)
    await assertAllOpen(world, createSecrets(key))
    for (const env of [{ AUTOVIBE_MASTER_KEY_FILE: join(folder, 'none') }, { AUTOVIBE_MASTER_KEY: key.toString('base64'), AUTOVIBE_MASTER_KEY_FILE: fresh }])
      await assert.rejects(loadMasterKeys(world.dataDir, env), { code: 'request.invalid' })
  })

  it('leaves what no known key opens as it is, and says how much that is', async () => {
    const world = await sealedWorld('lost')
    const lost = createSecrets(randomBytes(32)).seal('lost', providerKeyContext('bare'))
    await world.db.updateTable('providers').set({ key_sealed: lost }).where('name', '=', 'bare').execute()
    const secrets = createSecrets(randomBytes(32), world.before.current)
    const told = await world.db.transaction().execute((tx) => resealSecrets(tx, secrets))
    assert.deepEqual(told, { resealed: ANSWERS + 4, unreadable: 1 })
    assert.deepEqual((await world.db.selectFrom('providers').select('key_sealed').where('name', '=', 'bare').executeTakeFirstOrThrow()).key_sealed, lost)
  })

  it('lets the previous key of the environment be taken away only when all could be read', async () => {
    const world = await sealedWorld('told')
    const current = randomBytes(32)
    const secrets = createSecrets(current, world.before.current)
    const keys = { current, previous: world.before.current, isOwnFile: false }
    const store = await openFolderStore(world.storeDir, secrets)
    const told: string[] = []
    const logger = { info: (_: object | string, text?: string) => void told.push(text ?? String(_)), warn: () => undefined }
    const lost = createSecrets(randomBytes(32)).seal('lost', providerKeyContext('bare'))
    await world.db.updateTable('providers').set({ key_sealed: lost }).where('name', '=', 'bare').execute()
    const isAllowed = async (): Promise<boolean> => {
      told.length = 0
      await settleMasterKeys({ ...world, secrets, keys, store }, logger)
      return told.some((text) => text.includes('may be taken away'))
    }
    assert.equal(await isAllowed(), false)
    await world.db.updateTable('providers').set({ key_sealed: null }).where('name', '=', 'bare').execute()
    assert.equal(await isAllowed(), true)
  })

  it('changes nothing for living machines, and keeps the old key while one is being made by it', async () => {
    const world = await sealedWorld('machines')
    const machineId: MachineId = systemRuntime.newId('machine')
    const token = machineTokens(world.before.current)(machineId)
    const hash = createHash('sha256').update(token).digest('hex')
    await sql`insert into machines (id, name, project_id, state, token_hash, created_at) values (${machineId}, 'm', ${PROJECT}, 'provisioning', ${hash}, now())`.execute(
      world.db,
    )
    const keys = await start(world, true)
    assert.equal(machineTokens(keys.current, keys.previous)(machineId, hash), token)
    assert.deepEqual((await readdir(world.dataDir)).sort(), ['master.key', 'master.key.previous'])
    const { token_hash } = await world.db.selectFrom('machines').select('token_hash').executeTakeFirstOrThrow()
    assert.equal(token_hash, hash)
    assert.throws(() => machineTokens(keys.current)(machineId, hash), { code: 'conflict.state' })
    await world.db.updateTable('machines').set({ state: 'ready' }).execute()
    await start(world)
    assert.deepEqual(await readdir(world.dataDir), ['master.key'])
  })

  it('knows every column of the schema that holds something sealed', async () => {
    const world = await sealedWorld('columns')
    const { rows } = await sql<{ name: string }>`
      select table_name || '.' || column_name as name from information_schema.columns where table_schema = 'public' and column_name like '%sealed%'`.execute(
      world.db,
    )
    // An answer is sealed inside its JSON.
    assert.deepEqual([...rows.map(({ name }) => name), 'idempotency_keys.response'].sort(), [...SEALED_COLUMNS])
  })
})
