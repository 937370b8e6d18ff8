/** What a machine may reach, as a person sets it and as a tool inside meets it: through the real command, a real machine, and no packet to anybody. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { ProjectSettings } from '@autovibe/contract'
import { z } from 'zod'
import type { Place } from './support/command.ts'
import { openScriptedPlace, type ScriptedPlace } from './support/scripted-place.ts'

/** Asks for a destination as tools do, through the proxy of their environment, and says what the first line answered. */
const ASK = `
import { request } from 'node:http'
const proxy = process.env.HTTPS_PROXY
if (!proxy) console.log('no proxy')
else {
  const { hostname, port, username, password } = new URL(proxy)
  const headers = { 'proxy-authorization': 'Basic ' + Buffer.from(username + ':' + password).toString('base64') }
  request({ hostname, port, method: 'CONNECT', path: process.argv[2], headers })
    .on('connect', ({ statusCode, statusMessage }, socket) => { console.log(statusCode, statusMessage); socket.destroy() })
    .end()
}
`
const SCRIPT = `
conversations:
  - match: Reach out
    replies:
      - text: I try.
        tools:
          - name: write_file
            input: { path: ask.mjs, content: ${JSON.stringify(ASK)} }
      - text: Now.
        tools:
          - { name: shell, input: { command: "node ask.mjs other.test:443 > answer.txt 2>&1; rm ask.mjs" } }
      - { text: Done. }
`
const Settings = z.object({ settings: ProjectSettings })
let scripted: ScriptedPlace
let place: Place

before(async () => {
  scripted = await openScriptedPlace({ name: 'reach.yaml', text: SCRIPT })
  place = scripted.place
  await (await place.client()).projects.create({ name: 'shop' })
})
after(() => scripted.close())

const reachOut = async (): Promise<string> => {
  const { repository } = scripted
  const ran = await place.run([
    'run',
    'Reach out',
    '--project',
    repository.path,
    '--name',
    'shop',
    '--provider',
    'scripted',
    '--budget',
    '1',
    '--allow-unisolated',
  ])
  assert.equal(ran.code, 0, ran.stderr)
  return (await place.run(['diff'])).stdout
}

test('the list is empty at first and says how to begin; it is added to, taken from and emptied', async () => {
  const empty = await place.run(['project', 'egress', 'shop'])
  assert.deepEqual(
    [empty.stdout, empty.stderr],
    ['project shop: its machines reach nothing but the Hub.\n', 'Next: autovibe project egress shop --allow registry.npmjs.org:443\n'],
  )
  const added = await place.run(['project', 'egress', 'shop', '--allow', 'Registry.npmjs.org:443', '*.example.com:443', '--allow-private', '10.0.0.5:5000'])
  assert.equal(
    added.stdout,
    '✓ project shop: its machines may reach, beyond the Hub:\n  *.example.com:443\n  10.0.0.5:5000 (a private address)\n  registry.npmjs.org:443\n',
  )
  const taken = await place.json(Settings, ['project', 'egress', 'shop', '--remove', 'REGISTRY.npmjs.org.:443', '10.0.0.5:5000'])
  assert.deepEqual(taken.settings.egress, [{ destination: '*.example.com:443', private: false }])
  assert.match((await place.run(['project', 'show', 'shop'])).stdout, /^network +\*\.example\.com:443$/m)
  assert.equal((await place.refusal(['project', 'egress', 'shop', '--remove', 'registry.npmjs.org:443'])).code, 'not_found')
  const refused = await place.refusal(['project', 'egress', 'shop', '--allow', '127.0.0.1:80'])
  assert.deepEqual([refused.code, /no machine can be allowed/.test(refused.detail)], ['request.invalid', true])
  assert.equal((await place.refusal(['project', 'egress', 'shop', '--none', '--allow', 'a.example:1'])).code, 'request.invalid')
  assert.deepEqual((await place.json(Settings, ['project', 'egress', 'shop', '--none'])).settings.egress, [])
})

test('tools of a machine are told of a proxy when the project allows something, and what it does not allow is refused with the command that would', async () => {
  assert.match(await reachOut(), /^\+no proxy$/m)
  await place.run(['project', 'egress', 'shop', '--allow', 'allowed.test:443'])
  assert.match(await reachOut(), /^\+403 Forbidden \(autovibe project egress shop --allow other\.test:443\)$/m)
  const { items } = await (await place.client()).eventPage({ types: ['egress.refused'] })
  const [event] = items
  assert.deepEqual([event?.data['destination'], event?.data['code'], event?.run_id?.slice(0, 4)], ['other.test:443', 'egress.not_allowed', 'run_'])
})
