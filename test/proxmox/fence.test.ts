import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mayReach } from './fence.ts'
import type { FirewallRule } from './guests.ts'
import { fencedNetwork, openNetwork } from './guests-stage.ts'

const door = { address: '10.0.0.1', port: 8443 }
const lets = (...rules: Partial<FirewallRule>[]): boolean => mayReach(fencedNetwork(...rules), door)

test('without a fence every plugged card leads out, with one only what a rule accepts', () => {
  assert.equal(mayReach(openNetwork, door), true)
  assert.equal(lets(), false)
  assert.equal(lets({ protocol: 'tcp', destination: '10.0.0.1', destinationPort: '8443' }), true)
  assert.equal(mayReach({ ...fencedNetwork(), policyOut: 'ACCEPT' }, door), true)
  assert.equal(mayReach({ ...fencedNetwork(), policyOut: 'REJECT' }, door), false)
})

test('a card without a bridge or with its link down leads nowhere, and one of several is enough', () => {
  const [nic] = openNetwork.nics
  assert.ok(nic)
  assert.equal(mayReach({ ...openNetwork, nics: [] }, door), false)
  assert.equal(mayReach({ ...openNetwork, nics: [{ ...nic, linkDown: true }] }, door), false)
  assert.equal(mayReach({ ...openNetwork, nics: [{ ...nic, bridge: null }] }, door), false)
  assert.equal(
    mayReach(
      {
        ...openNetwork,
        nics: [
          { ...nic, linkDown: true },
          { ...nic, index: 1 },
        ],
      },
      door,
    ),
    true,
  )
})

test('the first rule that matches decides, and rules that are off or for what comes in do not count', () => {
  assert.equal(lets({ action: 'DROP', destination: '10.0.0.0/8' }, {}), false)
  assert.equal(lets({ destinationPort: '8443', protocol: 'tcp' }, { action: 'REJECT' }), true)
  assert.equal(lets({ enabled: false }), false)
  assert.equal(lets({ direction: 'in' }), false)
})

test('addresses, networks, ranges, lists and ports are compared as Proxmox writes them', () => {
  for (const destination of ['10.0.0.1', '10.0.0.0/24', '10.0.0.0-10.0.0.9', '192.0.2.1,10.0.0.1', 'fd00::/8,10.0.0.1'])
    assert.equal(lets({ destination }), true, destination)
  for (const destination of ['10.0.0.2', '10.0.1.0/24', '10.0.0.2-10.0.0.9', 'fd00::1']) assert.equal(lets({ destination }), false, destination)
  for (const destinationPort of ['8443', '8000:9000', '22,8443']) assert.equal(lets({ protocol: 'tcp', destinationPort }), true, destinationPort)
  for (const destinationPort of ['443', '9000:9999', '22,80']) assert.equal(lets({ protocol: 'tcp', destinationPort }), false, destinationPort)
  assert.throws(() => lets({ destination: '+dc/hubs' }), /does not know the destination '\+dc\/hubs'/)
})

test('what cannot be judged never accepts and always refuses', () => {
  assert.equal(lets({ protocol: 'udp' }), false)
  assert.equal(lets({ iface: 'net1' }), false)
  assert.equal(lets({ iface: 'net0' }), true)
  for (const vague of [{ macro: 'HTTPS' }, { source: '10.0.0.5' }, { protocol: 'tcp', sourcePort: '1024' }]) {
    assert.equal(lets(vague), false)
    assert.equal(lets({ ...vague, action: 'DROP' }, {}), false)
  }
})
