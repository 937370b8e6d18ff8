import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { addressOf, ipconfigOf, isInSubnet, networkProblems, numberOf, type StaticNetwork } from './addresses.ts'

const NETWORK: StaticNetwork = { subnet: '10.90.0.0/18', first: '10.90.1.0', gateway: '10.90.0.1', nameserver: null }
const VMIDS = { from: 900_000, to: 909_999 }

test('the address of a VM follows from its number, over the borders of its parts', () => {
  assert.equal(ipconfigOf(NETWORK, VMIDS, 900_000), 'ip=10.90.1.0/18,gw=10.90.0.1')
  assert.equal(ipconfigOf(NETWORK, VMIDS, 900_256), 'ip=10.90.2.0/18,gw=10.90.0.1')
  assert.equal(ipconfigOf({ ...NETWORK, gateway: null }, VMIDS, 909_999), 'ip=10.90.40.15/18')
  assert.equal(ipconfigOf(null, VMIDS, 900_000), 'ip=dhcp')
})

test('a number outside the range has no address', () => {
  assert.throws(() => ipconfigOf(NETWORK, VMIDS, 910_000), RangeError)
  assert.throws(() => ipconfigOf(NETWORK, VMIDS, 100), RangeError)
})

test('a network that is too small says which numbers it would take', () => {
  const small = { ...NETWORK, subnet: '10.90.0.0/24', first: '10.90.0.10' }
  assert.deepEqual(networkProblems(small, VMIDS, []), [
    '10.90.0.0/24 has 245 addresses from 10.90.0.10 on, and the numbers 900000 to 909999 need 10000: take a larger network, or the numbers 900000 to 900244',
  ])
  assert.deepEqual(networkProblems(small, { from: 900_000, to: 900_244 }, []), [])
})

test('neither the gateway nor the Hub’s own address is given to a machine', () => {
  assert.deepEqual(networkProblems(NETWORK, VMIDS, ['10.90.0.2']), [])
  assert.match(networkProblems(NETWORK, VMIDS, ['10.90.1.7'])[0] ?? '', /^10\.90\.1\.7 would be a machine’s/)
  assert.match(networkProblems({ ...NETWORK, gateway: '10.90.1.1' }, VMIDS, [])[0] ?? '', /^10\.90\.1\.1 would be a machine’s/)
  assert.match(networkProblems({ ...NETWORK, gateway: '10.80.0.1' }, VMIDS, [])[0] ?? '', /is not in 10\.90\.0\.0\/18/)
})

test('every number of a network without problems has an address of its own, inside it, that is nobody else’s', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 8, max: 30 }),
      fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      fc.integer({ min: 0, max: 5_000 }),
      fc.integer({ min: 0, max: 3_000 }),
      fc.integer({ min: 0, max: 6_000 }),
      (bits, base, skipped, count, hub) => {
        const size = 2 ** (32 - bits)
        const lowest = Math.floor(base / size) * size
        const at = (offset: number): string => addressOf(Math.min(2 ** 32 - 1, lowest + offset))
        const network = { subnet: `${addressOf(lowest)}/${bits}`, first: at(skipped), gateway: null, nameserver: null }
        const vmids = { from: 1_000, to: 1_000 + count }
        if (networkProblems(network, vmids, [at(hub)]).length > 0) return
        const given = new Set<string>()
        for (let vmid = vmids.from; vmid <= vmids.to; vmid += 1) {
          const address = /^ip=([0-9.]+)\//.exec(ipconfigOf(network, vmids, vmid))?.[1] ?? ''
          assert.ok(isInSubnet(address, network.subnet), address)
          assert.notEqual(address, at(hub))
          given.add(address)
        }
        assert.equal(given.size, count + 1)
      },
    ),
    { numRuns: 200 },
  )
})

test('an address and its number are one', () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), (number) => assert.equal(numberOf(addressOf(number)), number)))
  for (const wrong of ['1.2.3', '1.2.3.256', '01.2.3.4', '1.2.3.4.5', 'a.b.c.d', '']) assert.ok(Number.isNaN(numberOf(wrong)), wrong)
})
