import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'node:test'
import { CreateSubstrate, ProxmoxConfig, type ProxmoxNetwork } from '@autovibe/contract'
import { probeGate } from './gate.ts'

const OWN = ['127.0.0.1', '10.90.0.2', '192.0.2.7']

function site(gate: ProxmoxConfig['gate'], network: ProxmoxNetwork = { kind: 'dhcp' }) {
  const given = CreateSubstrate.parse({
    name: 'lab',
    doors: [{ url: 'https://192.0.2.10:8006' }],
    token_id: 'autovibe@pve!hub',
    token_secret: 'x',
    storage: 'thin',
    templates: [{ vmid: 9000 }],
    gate,
    network,
  })
  return { name: 'lab', config: ProxmoxConfig.parse(given) }
}
const states = async (...given: Parameters<typeof probeGate>): Promise<string[]> => (await probeGate(...given)).map(({ status }) => status)

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

test('a port that is free, and an address that this host has, are well', async () => {
  const port = await freePort()
  assert.deepEqual(await states(site({ listen: `0.0.0.0:${port}`, advertised: `10.90.0.2:${port}` }), false, OWN), ['ok', 'ok'])
  // The port was given back.
  assert.deepEqual(await states(site({ listen: `127.0.0.1:${port}`, advertised: `10.90.0.2:${port}` }), false, OWN), ['ok', 'failed'])
})

test('a port that somebody listens on fails, but for the Hub itself', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const at = site({ listen: `127.0.0.1:${port}`, advertised: '10.90.0.9:7443' })
  const [taken] = await probeGate(at, false, OWN)
  assert.deepEqual([taken?.status, taken?.fix], ['failed', `ss -tlnp 'sport = :${port}', or autovibe substrate set lab --gate-listen ADDRESS:PORT`])
  assert.deepEqual(await states(at, true, OWN), ['ok', 'warning'])
  server.close()
  await once(server, 'close')
})

test('an address that this host does not have cannot be listened on', async () => {
  assert.deepEqual(await states(site({ listen: '192.0.2.200:7443', advertised: '192.0.2.200:7443' }), false, OWN), ['failed', 'warning'])
})

test('an address that means the machine itself, or nothing, is refused', async () => {
  for (const advertised of ['127.0.0.1:7443', '0.0.0.0:7443', '224.0.0.1:7443', '[::1]:7443', '[::]:7443'])
    assert.equal((await probeGate(site({ listen: '0.0.0.0:7443', advertised }), true, OWN))[1]?.status, 'failed', advertised)
})

test('machines on a network without a gateway reach only what is in it', async () => {
  const network = { kind: 'static', subnet: '10.90.0.0/18', first: '10.90.1.0', gateway: null, nameserver: null } as const
  const status = async (advertised: string, gateway: string | null): Promise<string | undefined> =>
    (await probeGate(site({ listen: '0.0.0.0:7443', advertised }, { ...network, gateway }), true, OWN))[1]?.status
  assert.equal(await status('10.90.0.2:7443', null), 'ok')
  assert.equal(await status('192.0.2.7:7443', null), 'failed')
  assert.equal(await status('192.0.2.7:7443', '10.90.0.1'), 'ok')
})
