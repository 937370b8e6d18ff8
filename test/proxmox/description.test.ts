import assert from 'node:assert/strict'
import { test } from 'node:test'
import { descriptionFile, loadDescription, type Schema } from './description.ts'
import { ENDPOINTS, ownDescription } from './endpoints.ts'
import { patternsOf, perlPattern } from './patterns.ts'
import { knowsFormat } from './schema-check.ts'

const file = descriptionFile()
/** Formats of networks, containers, storages and mail: of nothing that the stand-in has. */
const UNTESTED = [
  'bridge-pair-list graphite-path ipv4mask ldap-simple-attr ldap-simple-attr-list lxc-ip-with-ll-iface-list mac-prefix',
  'pem-certificate-chain pem-string pve-acme-alias pve-acme-domain pve-acme-domain-list pve-calendar-event',
  'pve-command-batch pve-ct-timezone pve-day-of-week-list pve-dir-override-list pve-fw-conntrack-helper pve-ha-node-list',
  'pve-ha-resource-id-list pve-ha-resource-or-vm-id pve-lxc-dev-string pve-lxc-mp-string pve-replication-job-id',
  'pve-sdn-bgp-rt-list pve-sdn-controller-id pve-sdn-dhcp-range pve-sdn-dns-id pve-sdn-fabric-id pve-sdn-ipam-id',
  'pve-sdn-isis-net pve-sdn-subnet-id pve-sdn-vnet-id pve-sdn-zone-id pve-storage-options pve-storage-path',
  'pve-storage-path-in-property-string pve-storage-portal-dns pve-storage-portal-dns-list pve-storage-server',
  'pve-storage-vgname pve-vlan-id-or-range-list',
].flatMap((line) => line.split(' '))
/** An atomic group is not JavaScript; this one is in an answer, not in a request. */
const UNTRANSLATED = ['(?^:^((?>[+-]?[\\w\\-\\._=]+,?)+)$)']
const skip = file === null ? 'Proxmox’s description is not beside this checkout' : false

test('the literal part of a path wins over a placeholder, and a volume takes the rest', { skip }, () => {
  const description = loadDescription(file ?? '')
  assert.equal(description.methods.length, 649)
  assert.equal(description.find('GET', '/nodes/pve1/qemu/100/status/current')?.method.path, '/nodes/{node}/qemu/{vmid}/status/current')
  assert.equal(description.find('GET', '/cluster/ha/status/current')?.method.path, '/cluster/ha/status/current')
  const volume = description.find('DELETE', '/nodes/pve1/storage/local/content/local:iso/debian.iso')
  assert.deepEqual(volume?.pathParameters, { node: 'pve1', storage: 'local', volume: 'local:iso/debian.iso' })
  assert.equal(description.find('GET', '/nodes/pve1/nothing'), undefined)
  assert.equal(description.find('PATCH', '/version'), undefined)
})

test('every pattern of the description but one can be said in JavaScript', { skip }, () => {
  const patterns = new Set(patternsOf(loadDescription(file ?? '').methods))
  const untranslated = [...patterns].filter((pattern) => perlPattern(pattern) === null)
  assert.ok(patterns.size > 50, `${patterns.size} patterns`)
  assert.deepEqual(untranslated, UNTRANSLATED)
  assert.ok(!patternsOf(loadDescription(file ?? '').methods.map((method) => method.parameters)).includes(UNTRANSLATED[0] ?? ''))
})

test('Perl’s flags, its open quantifier and its last line feed mean here what they mean there', () => {
  assert.ok(perlPattern('(?^i:[a-z]+)')?.test('ABC'))
  assert.equal(perlPattern('(?^:[a-z]+)')?.test('ABC'), false)
  assert.ok(perlPattern('[a-z]{,3}')?.test(''))
  assert.equal(perlPattern('[a-z]{,3}')?.test('abcd'), false)
  assert.ok(perlPattern('\\d+')?.test('12\n'))
  assert.equal(perlPattern('\\d+')?.test('12\n\n'), false)
  assert.equal(perlPattern('(?<broken'), null)
})

test('the formats of parameters that are not tested are these', { skip }, () => {
  const unknown = new Set<string>()
  const look = (schema: unknown): void => {
    if (typeof schema !== 'object' || schema === null) return
    const each = schema as Schema
    if (typeof each.format === 'string' && !knowsFormat(each)) unknown.add(each.format)
    for (const value of Object.values(schema)) look(value)
  }
  for (const method of loadDescription(file ?? '').methods) look(method.parameters)
  assert.deepEqual([...unknown].sort(), UNTESTED)
  const ours = loadDescription(file ?? '').methods.filter((method) => `${method.method} ${method.path}` in ENDPOINTS)
  const used = UNTESTED.filter((name) => ours.some((method) => JSON.stringify(method.parameters).includes(`"format":"${name}"`)))
  assert.deepEqual(used, [])
})

test('every endpoint of the registry is a method of the description', { skip }, () => {
  const known = new Set(loadDescription(file ?? '').methods.map((method) => `${method.method} ${method.path}`))
  assert.deepEqual(
    Object.keys(ENDPOINTS).filter((key) => !known.has(key)),
    [],
  )
})

test('without the description our own table still knows paths, numbers and what is required', () => {
  const own = ownDescription()
  assert.equal(own.file, null)
  assert.equal(own.find('GET', '/nothing'), undefined)
  const clone = own.find('POST', '/nodes/pve1/qemu/100/clone')
  assert.ok(clone?.method.parameters.properties?.['newid'])
})
