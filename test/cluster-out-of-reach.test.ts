/** A Hub whose cluster cannot be reached when it starts: the real command, and the way to the cluster in the hands of the test. */
import assert from 'node:assert/strict'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { Finding, ShownSubstrate } from '@autovibe/contract'
import { z } from 'zod'
import { type Stage, stage } from './proxmox/stage.ts'
import { makePlace, type Place, until } from './support/command.ts'

const TEMPLATE = 9000
const Shown = z.object({ substrate: ShownSubstrate })
const Checked = z.object({ findings: z.array(Finding) })

let place: Place
let at: Stage
let way: Way

/** A port that leads to the cluster, as long as it is open. */
class Way {
  readonly #to: number
  readonly #sockets = new Set<Socket>()
  #server: Server | null = null
  port = 0

  constructor(to: number) {
    this.#to = to
  }

  async open(): Promise<void> {
    const server = createServer((near) => {
      const far = connect(this.#to, '127.0.0.1')
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(one)
        one.pipe(other)
        one.on('error', () => undefined).once('close', () => other.destroy())
      }
    })
    this.#server = server
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve))
    this.port = (server.address() as { port: number }).port
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#server?.close(resolve))
    for (const socket of this.#sockets) socket.destroy()
    this.#sockets.clear()
    await ended
  }
}

before(async () => {
  at = await stage({ storages: [{ id: 'thin', type: 'lvmthin' }], secondMs: 1, broadcastEveryS: 0 })
  await at.create(TEMPLATE, 'thin', { ciupgrade: '0' })
  await at.root.task('POST', `/nodes/pve1/qemu/${TEMPLATE}/template`)
  way = new Way(Number(new URL(at.pve.url).port))
  await way.open()
  place = await makePlace()
  assert.equal((await place.run(['up'])).code, 0)
  const free = createServer()
  await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve))
  const gate = `10.90.0.2:${(free.address() as { port: number }).port}`
  await new Promise((resolve) => free.close(resolve))
  const [id = '', secret = ''] = at.pve.adminToken.split('=')
  const told = ['--url', `https://127.0.0.1:${way.port}`, '--fingerprint', at.pve.fingerprint, '--storage', 'thin', '--template', String(TEMPLATE)]
  await place.run(['substrate', 'add', 'proxmox', 'lab', ...told, '--gate', gate, '--token-id', id, '--token-stdin'], { input: secret })
  assert.equal((await place.run(['substrate', 'use', 'lab'])).code, 0)
  assert.equal((await place.run(['down'])).code, 0)
})
after(async () => {
  await place.remove()
  await way.close()
  await at.close()
})

const shown = async (): Promise<ShownSubstrate> => (await place.json(Shown, ['substrate', 'show', 'lab'])).substrate

test('the Hub starts, says what is wrong wherever a person looks, and takes the cluster up by itself', async () => {
  await way.close()
  assert.equal((await place.run(['up'])).code, 0)
  const { serves, findings } = await shown()
  assert.deepEqual([serves, findings.map(({ area, name, status }) => `${area} ${name} ${status}`)], [true, ['proxmox lab failed']])
  assert.match(findings[0]?.detail ?? '', /^The cluster lab does not answer since 2\S+Z: Proxmox: /)
  assert.ok(findings[0]?.fix)
  assert.match((await place.run(['substrate', 'show', 'lab'])).stdout, /^✗ proxmox: lab .*does not answer since .*\n {4}Fix: /m)
  const doctor = await place.json(Checked, ['doctor'], { exit: 1 })
  assert.ok(doctor.findings.some(({ area, name, status }) => area === 'hub' && name === 'substrate' && status === 'failed'))
  assert.ok(doctor.findings.some(({ area, name, status }) => area === 'proxmox' && name === 'lab' && status === 'failed'))
  const client = await place.client()
  assert.equal((await client.hub.health()).status, 'degraded')
  assert.deepEqual(await client.machines.list().take(10), [])
  await way.open()
  await until('the cluster is taken up', async () => (await shown()).findings.length === 0)
  assert.equal((await client.hub.health()).status, 'ok')
  const { findings: found } = await client.hub.info()
  assert.ok(found.some(({ area, name, status }) => area === 'proxmox' && name === 'version' && status === 'ok'))
})

test('one that falls silent while the Hub runs is told of too', async () => {
  await way.close()
  await until('the silence is noticed', async () => (await shown()).findings.some(({ status }) => status === 'failed'))
  await way.open()
  await until('the cluster answers again', async () => (await shown()).findings.length === 0)
})

test('a certificate that is another one is told of as such, and mended without another start', async () => {
  assert.equal((await place.run(['down'])).code, 0)
  assert.equal((await place.run(['up'])).code, 0)
  assert.deepEqual((await shown()).findings, [])
  const other = Array.from({ length: 32 }, () => 'AB').join(':')
  await place.run(['substrate', 'set', 'lab', '--fingerprint', other])
  assert.equal((await place.run(['down'])).code, 0)
  assert.equal((await place.run(['up'])).code, 0)
  const [finding] = (await shown()).findings
  assert.match(finding?.detail ?? '', /^The cluster lab cannot be worked with since .*certificate/)
  assert.match(finding?.fix ?? '', /pvenode cert info/)
  await place.run(['substrate', 'set', 'lab', '--fingerprint', at.pve.fingerprint])
  await until('the cluster is taken up', async () => (await shown()).findings.length === 0)
})
