/** Vendors of models as a person sets them up: a key that is missing and an address where nothing answers are told at once, and by doctor. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { EXIT, Finding, Provider, ProviderReach } from '@autovibe/contract'
import { z } from 'zod'
import { makePlace, type Place } from './support/command.ts'

const SetUp = z.strictObject({ provider: Provider, reach: ProviderReach })
const Doctor = z.object({ findings: z.array(Finding) })
const KEY = 'sk-a-key-that-nobody-may-see'

let place: Place
/** Something that answers, and one address where nothing does. */
let living: string
let dead: string
const heard: string[] = []
const server = createServer((request, response) => {
  heard.push(`${request.method} ${request.url} ${JSON.stringify(request.headers)}`)
  response.writeHead(404).end()
})

before(async () => {
  place = await makePlace()
  const gone = createServer()
  await once(gone.listen(0, '127.0.0.1'), 'listening')
  dead = `http://127.0.0.1:${(gone.address() as AddressInfo).port}`
  await once(server.listen(0, '127.0.0.1'), 'listening')
  living = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  await new Promise((resolve) => gone.close(resolve))
  assert.equal((await place.run(['up'])).code, 0)
})
after(async () => {
  await place.remove()
  server.closeAllConnections()
  server.close()
})

const providers = async () => (await place.client()).providers.list().take(100)

test('a provider without a key is refused where nobody can be asked, and nothing is changed', async () => {
  const before = await providers()
  const refused = await place.refusal(['provider', 'set', 'near', '--base-url', living])
  assert.deepEqual([refused.code, refused.exit], ['request.invalid', EXIT.usage])
  assert.match(refused.detail, /The provider near would have no key; nothing was changed/)
  for (const way of [`autovibe provider set near --base-url ${living} --key-stdin`, '--key-env', '--no-key']) assert.ok(refused.fix?.includes(way), refused.fix)
  assert.deepEqual(await providers(), before)
})

test('--no-key says that none is asked for, and the provider can be used', async () => {
  const { provider, reach } = await place.json(SetUp, ['provider', 'set', 'near', '--base-url', living, '--simulated', '--no-key'])
  assert.deepEqual([provider.has_key, provider.simulated, reach.answers], [true, true, true])
  const people = await place.run(['provider', 'set', 'near', '--default-model', 'claude-haiku-5'])
  assert.deepEqual([people.code, people.stderr], [0, ''], 'a key that is stored stays, and an address that answers is not worth a word')
})

test('an address where nothing answers is set, and told at once', async () => {
  const args = ['provider', 'set', 'far', '--base-url', dead, '--key-stdin']
  const people = await place.run(args, { input: KEY })
  assert.equal(people.code, 0)
  assert.match(
    people.stderr,
    /^! It is set up, but 127\.0\.0\.1:\d+ does not answer \(nothing listens there\).*\n? *.*autovibe provider set far --base-url URL/m,
  )
  const { reach } = await place.json(SetUp, args, { input: KEY })
  assert.equal(reach.answers, false)
})

test('a stored key is not taken along to another address without being asked for', async () => {
  const refused = await place.refusal(['provider', 'set', 'far', '--base-url', living])
  assert.match(refused.detail, new RegExp(`was given for ${dead} and is not sent anywhere else`))
  assert.equal((await providers()).find(({ name }) => name === 'far')?.base_url, dead)
})

test('doctor tells of each provider its wire, address and key, and what to do about one that cannot be used', async () => {
  const { code, stdout } = await place.run(['doctor'])
  assert.equal(code, 0)
  const { findings } = await place.json(Doctor, ['doctor'])
  const told = new Map(findings.filter(({ area }) => area === 'provider').map((finding) => [finding.name, finding]))
  assert.deepEqual([...told.keys()], ['anthropic', 'far', 'near'])
  assert.deepEqual(told.get('near'), {
    area: 'provider',
    name: 'near',
    status: 'ok',
    detail: `anthropic wire, ${living}, key stored, simulated, answers`,
    fix: null,
  })
  const far = told.get('far')
  assert.equal(far?.detail, `anthropic wire, ${dead}, key stored, ${new URL(dead).host} does not answer (nothing listens there)`)
  assert.deepEqual([far?.status, far?.fix?.includes('autovibe provider set far --base-url')], ['warning', true])
  const anthropic = told.get('anthropic')
  assert.match(anthropic?.detail ?? '', /^anthropic wire, https:\/\/api\.anthropic\.com, no key stored, /)
  assert.deepEqual([anthropic?.status, anthropic?.fix], ['warning', 'autovibe provider set anthropic'])
  for (const name of told.keys()) assert.match(stdout, new RegExp(`^[✓!] provider: ${name} anthropic wire, `, 'm'))
  assert.ok(heard.length > 0)
  assert.doesNotMatch(`${stdout}${heard.join()}`, new RegExp(`${KEY}|x-api-key|authorization`, 'i'))
})

test('a provider is removed by its name, and one that is not there is told so', async () => {
  for (const name of ['near', 'far']) {
    const { provider } = await place.json(z.object({ provider: Provider }), ['provider', 'remove', name])
    assert.equal(provider.name, name)
  }
  assert.deepEqual(
    (await providers()).map(({ name }) => name),
    ['anthropic'],
  )
  const refused = await place.refusal(['provider', 'remove', 'near'])
  assert.deepEqual([refused.code, refused.exit, refused.fix], ['not_found', EXIT.notFound, 'autovibe provider list'])
})

test('a port that is none is refused also while a Hub runs that needs none', async () => {
  for (const port of ['abc', '99999']) {
    const refused = await place.refusal(['up', '--port', port])
    assert.deepEqual([refused.code, refused.exit], ['request.invalid', EXIT.usage])
    assert.ok(refused.detail.includes(`"${port}"`), refused.detail)
  }
})
