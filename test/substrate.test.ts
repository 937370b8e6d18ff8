/** Bringing a Proxmox cluster with the real command: from an address to a cluster that is probed, chosen and left again. */
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { after, before, test } from 'node:test'
import { Grants, Substrate, SubstrateProbe, UsedSubstrate } from '@autovibe/contract'
import { z } from 'zod'
import { type Stage, stage } from './proxmox/stage.ts'
import { makePlace, type Place } from './support/command.ts'

const TEMPLATE = 9000
const Brought = z.object({ substrate: Substrate, probe: SubstrateProbe })
const Shown = z.object({ substrate: Substrate })

let place: Place
let at: Stage
let url: string
let secret = ''
let gate = ''

before(async () => {
  at = await stage({ storages: [{ id: 'thin', type: 'lvmthin' }], secondMs: 1, broadcastEveryS: 0 })
  await at.create(TEMPLATE, 'thin', { ciupgrade: '0' })
  await at.root.task('POST', `/nodes/pve1/qemu/${TEMPLATE}/template`)
  url = at.pve.url
  place = await makePlace()
  assert.equal((await place.run(['up'])).code, 0)
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  gate = `10.90.0.2:${(server.address() as { port: number }).port}`
  await new Promise((resolve) => server.close(resolve))
})
after(async () => {
  await place.remove()
  await at.close()
})

const add = (...more: readonly string[]): string[] => ['substrate', 'add', 'proxmox', 'lab', '--url', url, '--storage', 'thin', ...more]
const complete = (...more: readonly string[]): string[] =>
  add('--template', String(TEMPLATE), '--gate', gate, '--token-id', 'autovibe@pve!hub', '--token-stdin', ...more)

test('without anybody who could be asked, the fingerprint is shown and must be given; nothing was sent to the cluster', async () => {
  const asked = at.pve.journal.entries.length
  const { code, fix, exit } = await place.refusal(add())
  assert.deepEqual([code, exit], ['request.invalid', 2])
  assert.ok(fix?.includes(`--url ${url} --fingerprint ${at.pve.fingerprint}`), fix)
  assert.equal(at.pve.journal.entries.length, asked)
})

test('without a token it prints the lines that make one, and the command that goes on from there', async () => {
  const told = await place.run(add('--fingerprint', at.pve.fingerprint, '--template', String(TEMPLATE), '--gate', gate))
  assert.equal(told.code, 0, told.stderr)
  const next = /^Next: (.*)$/m.exec(told.stderr)?.[1]
  assert.equal(
    next,
    `autovibe substrate add proxmox lab --template ${TEMPLATE} --gate ${gate} --url ${url} --storage thin --fingerprint ${at.pve.fingerprint} --token-id 'autovibe@pve!hub' --token-stdin`,
  )
  const { lines } = await place.json(Grants, add('--fingerprint', at.pve.fingerprint, '--template', String(TEMPLATE)))
  assert.deepEqual(told.stdout.trimEnd().split('\n'), lines)
  for (const line of lines) {
    const answer = (await at.pve.pveum(line)) as { value?: string } | null
    secret = answer?.value ?? secret
  }
  assert.equal((await place.json(z.object({ substrates: z.array(Substrate) }), ['substrate', 'list'])).substrates.length, 1)
})

test('with the token it is remembered and probed, and the secret is nowhere to be seen', async () => {
  const { substrate, probe } = await place.json(Brought, complete('--fingerprint', at.pve.fingerprint.toLowerCase()), { input: secret })
  assert.deepEqual([substrate.name, substrate.proxmox?.gate.listen], ['lab', `0.0.0.0:${gate.split(':')[1]}`])
  assert.deepEqual(
    probe.findings.filter(({ status }) => status !== 'ok').map(({ area, status }) => `${area} ${status}`),
    // Whatever host runs this test does not have that address.
    ['gate warning'],
  )
  for (const args of [
    ['substrate', 'show', 'lab'],
    ['substrate', 'list'],
    ['substrate', 'probe', 'lab'],
    ['logs', '--hub'],
  ]) {
    const { stdout, stderr, code } = await place.run(args)
    assert.equal(code, 0, stderr)
    assert.ok(!`${stdout}${stderr}`.includes(secret), args.join(' '))
  }
  assert.equal((await place.refusal(complete('--fingerprint', at.pve.fingerprint), { input: secret })).code, 'conflict.name_taken')
})

test('a probe that fails says what mends it in both forms, and its exit code is that of a failure', async () => {
  at.pve.cluster.firewallOn = false
  const forPeople = await place.run(['substrate', 'probe', 'lab'])
  assert.equal(forPeople.code, 1)
  assert.match(forPeople.stdout, /^✗ firewall: datacenter .*\n {4}Fix: pvesh set \/cluster\/firewall\/options --enable 1/m)
  const { probe } = await place.json(z.object({ probe: SubstrateProbe }), ['substrate', 'probe', 'lab'], { exit: 1 })
  assert.equal(probe.status, 'failed')
  at.pve.cluster.firewallOn = true
})

test('settings change one by one; a machine’s addresses may follow from its number', async () => {
  const args = ['substrate', 'set', 'lab', '--network', '10.90.0.0/18', '--first', '10.90.1.0', '--cores', '4', '--ram', '--no-spread']
  const { substrate } = await place.json(Brought, args)
  assert.deepEqual([substrate.proxmox?.network.kind, substrate.proxmox?.cores, substrate.proxmox?.include_ram], ['static', 4, true])
  const { stdout } = await place.run(['substrate', 'show', 'lab'])
  assert.match(stdout, /^network +10\.90\.0\.0\/18 from 10\.90\.1\.0 on, no way out$/m)
  const refused = await place.refusal(['substrate', 'set', 'lab', '--network', '10.90.0.0/24', '--first', '10.90.0.10'])
  assert.match(refused.detail, /the numbers 900000 to 909999 need 10000/)
  const [other] = (await place.refusal(['substrate', 'set', 'lab', '--url', 'https://127.0.0.1:1', '--fingerprint', at.pve.fingerprint])).errors ?? []
  assert.match(other?.path ?? '', /token/)
})

test('the lines for an administrator can be seen again', async () => {
  const { token_id, lines } = await place.json(Grants, ['substrate', 'grants', 'lab'])
  assert.deepEqual([token_id, lines.includes(`pveum pool modify autovibe --vms ${TEMPLATE}`)], ['autovibe@pve!hub', true])
})

test('it is chosen for the next start, kept while it is, and forgotten once it is not', async () => {
  const { substrate } = await place.json(z.object({ substrate: UsedSubstrate }), ['substrate', 'use', 'lab'])
  assert.equal(substrate.takes_effect, 'at the next start of the Hub')
  assert.match((await place.run(['substrate', 'list'])).stdout, /^lab +proxmox +from the next start .*\nlocal +local +until the next start/m)
  const kept = await place.refusal(['substrate', 'remove', 'lab'])
  assert.deepEqual([kept.code, kept.fix], ['conflict.state', 'autovibe substrate use local'])
  assert.equal((await place.run(['substrate', 'use', 'local'])).code, 0)
  assert.equal((await place.json(Shown, ['substrate', 'remove', 'lab'])).substrate.name, 'lab')
  assert.equal((await place.refusal(['substrate', 'show', 'lab'])).code, 'not_found')
})

test('what cannot be meant is refused before anything is asked', async () => {
  for (const args of [
    ['substrate', 'add', 'vmware', 'lab'],
    ['substrate', 'add', 'proxmox', 'local', '--url', url],
    ['substrate', 'add', 'proxmox', 'lab'],
    add('--token-id', 'autovibe@pve!hub'),
    add('--vmids', '5'),
    add('--template', 'first'),
    add('--network', 'dhcp', '--first', '10.90.1.0'),
    add('--cores', 'many'),
    complete('--fingerprint', at.pve.fingerprint),
    complete('--fingerprint', at.pve.fingerprint, at.pve.fingerprint),
  ]) {
    const { code, exit } = await place.refusal(args, { input: ' ' })
    assert.deepEqual([code, exit], ['request.invalid', 2], args.join(' '))
  }
})
