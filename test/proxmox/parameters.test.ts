import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Refusal } from './answers.ts'
import { descriptionFile, loadDescription, type Schema } from './description.ts'
import { checked, decodeForm, decodeJson, merged, type Raw } from './parameters.ts'
import { keysOfTypeText, parsePropertyString } from './property-strings.ts'

const file = descriptionFile()
const skip = file === null ? 'Proxmox’s description is not beside this checkout' : false

function complaints(raw: Raw, schema: Schema): Readonly<Record<string, string>> {
  try {
    checked(raw, schema)
    return {}
  } catch (error) {
    assert.ok(error instanceof Refusal)
    assert.equal(error.status, 400)
    assert.equal(error.text, 'Parameter verification failed.\n')
    return error.errors ?? {}
  }
}
const of = (schema: Schema): Schema => ({ type: 'object', additionalProperties: 0, properties: { value: schema } })

/** Each kind of check: a value that must fail, Proxmox's words for it, and a value that must pass. */
const CHECKS: readonly (readonly [kind: string, schema: Schema, bad: unknown, words: string, good: unknown])[] = [
  ['required', { type: 'string' }, undefined, 'property is missing and it is not optional', 'x'],
  ['an empty value is none', { type: 'string' }, null, 'property is missing and it is not optional', '0'],
  ['boolean', { type: 'boolean' }, 'on', "type check ('boolean') failed - got 'on'", '1'],
  ['boolean in JSON', { type: 'boolean' }, 'true', "type check ('boolean') failed - got 'true'", true],
  ['integer', { type: 'integer' }, '1.5', "type check ('integer') failed - got '1.5'", '-3'],
  ['number', { type: 'number' }, '1,5', "type check ('number') failed - got '1,5'", '1.5e3'],
  ['string', { type: 'string' }, ['a', 'b'], "type check ('string') failed - got ARRAY", 'a'],
  ['string in JSON', { type: 'string' }, true, "type check ('string') failed - got JSON::PP::Boolean", 'true'],
  ['array', { type: 'array', items: { type: 'integer' } }, { a: 1 }, "type check ('array') failed", ['1', '2']],
  ['maximum', { type: 'integer', maximum: 10 }, '11', 'value must have a maximum value of 10', '10'],
  ['minimum', { type: 'integer', minimum: 16 }, '15', 'value must have a minimum value of 16', '16'],
  ['maxLength', { type: 'string', maxLength: 3 }, 'abcd', 'value may only be 3 characters long', 'abc'],
  ['minLength', { type: 'string', minLength: 2 }, 'a', 'value must be at least 2 characters long', 'ab'],
  ['pattern', { type: 'string', pattern: '\\+?\\d+[KMGT]?' }, '5Q', 'value does not match the regex pattern', '+5G'],
  ['enum', { type: 'string', enum: ['a', 'b'] }, 'c', "value 'c' does not have a value in the enumeration 'a, b'", 'b'],
  ['pve-node', { type: 'string', format: 'pve-node' }, 'pve_1', 'invalid format - value does not look like a valid node name\n', 'pve-1'],
  ['pve-vmid', { type: 'integer', format: 'pve-vmid' }, '99', 'invalid format - value does not look like a valid VM ID\n', '100'],
  ['pve-vmid-list', { type: 'string', format: 'pve-vmid-list' }, '100,7', 'invalid format - value does not look like a valid VM ID\n', '100;101 102'],
  ['pve-configid', { type: 'string', format: 'pve-configid' }, '1st', "invalid format - invalid configuration ID '1st'\n", 'cp_1-a'],
  ['dns-name', { type: 'string', format: 'dns-name' }, 'a_b', 'invalid format - value does not look like a valid DNS name\n', 'a-b.example'],
  ['CIDR', { type: 'string', format: 'CIDR' }, '10.0.0.1', 'invalid format - value does not look like a valid CIDR network\n', 'fd00::/64'],
  [
    'mac-addr',
    { type: 'string', format: 'mac-addr' },
    '01:00:00:00:00:00',
    'invalid format - value does not look like a valid unicast MAC address\n',
    'BC:24:11:00:00:01',
  ],
  ['pve-tag-list', { type: 'string', format: 'pve-tag-list' }, 'a;b!c', 'invalid format - invalid characters in tag\n', 'autovibe;hub-1'],
  ['pve-storage-id', { type: 'string', format: 'pve-storage-id' }, 'l', "invalid format - storage ID 'l' cannot be shorter than 2 characters\n", 'local-lvm'],
  ['disk-size', { type: 'string', format: 'disk-size' }, '5GB', 'invalid format - value does not look like a valid disk size: 5GB\n', '5GiB'],
  ['pve-volume-id', { type: 'string', format: 'pve-volume-id' }, 'nowhere', "invalid format - unable to parse volume ID 'nowhere'\n", 'local:iso/a.iso'],
  ['urlencoded', { type: 'string', format: 'urlencoded' }, 'ssh key', 'invalid format - invalid urlencoded string: ssh key\n', 'ssh%20key'],
  ['ipv6', { type: 'string', format: 'ipv6' }, 'fd00:::1', 'invalid format - value does not look like a valid IPv6 address\n', 'fd00::1:192.0.2.1'],
]

for (const [kind, schema, bad, words, good] of CHECKS) {
  test(`${kind}: ${JSON.stringify(bad)} is refused, ${JSON.stringify(good)} is taken`, () => {
    assert.deepEqual(complaints({ value: bad } as Raw, of(schema)), { value: words })
    assert.deepEqual(complaints({ value: good } as Raw, of(schema)), {})
  })
}

test('a parameter that the schema does not have is refused by its name, unless the schema allows more', () => {
  const schema = of({ type: 'string', optional: 1 })
  assert.deepEqual(complaints({ other: '1' }, schema), { other: 'property is not defined in schema and the schema does not allow additional properties' })
  assert.deepEqual(complaints({ other: '1' }, { ...schema, additionalProperties: 1 }), {})
})

test('a parameter that requires another is refused without it', () => {
  const schema: Schema = {
    type: 'object',
    additionalProperties: 0,
    properties: { path: { type: 'string', optional: 1, requires: 'privs' }, privs: { type: 'string', optional: 1 } },
  }
  assert.deepEqual(complaints({ path: '/' }, schema), { privs: "missing property required by 'path'" })
  assert.deepEqual(complaints({ path: '/', privs: 'VM.Audit' }, schema), {})
})

test('a form is read with Proxmox’s peculiarities', () => {
  assert.deepEqual({ ...decodeForm('a=1&b=x%20y+z;c=%C3%A4') }, { a: '1', b: 'x y z', c: 'ä' })
  assert.deepEqual({ ...decodeForm('net0=virtio=BC:24:11:00:00:01') }, { net0: 'virtio' }, 'a bare = inside a value cuts it')
  assert.deepEqual({ ...decodeForm('description=&command=a&command=b') }, { description: undefined, command: ['a', 'b'] })
})

test('a body of JSON is an object, and nothing else', () => {
  assert.deepEqual(decodeJson('{"full":true}'), { full: true })
  assert.throws(() => decodeJson('[1]'), { status: 500 })
  assert.throws(() => decodeJson('{'), { status: 500 })
})

test('a parameter that contradicts the path is refused, one that repeats it is not', () => {
  assert.throws(() => merged({ vmid: '100' }, { vmid: '101' }), { status: 400 })
  assert.deepEqual(merged({ vmid: '100' }, { vmid: 100 }), { vmid: 100 })
})

test('a list given as an array becomes text, and a single value an array', () => {
  const list = checked({ vmid: ['100', '101'] }, { properties: { vmid: { type: 'string', format: 'pve-vmid-list' } } })
  assert.equal(list.text('vmid'), '100,101')
  const command = checked({ command: 'true' }, { properties: { command: { type: 'array', items: { type: 'string' } } } })
  assert.deepEqual(command.list('command'), ['true'])
})

test('the parameters of a VM are checked down into their property strings', { skip }, () => {
  const create = loadDescription(file ?? '').find('POST', '/nodes/pve1/qemu')?.method.parameters ?? {}
  const given = (more: Raw): Readonly<Record<string, string>> => complaints({ node: 'pve1', vmid: '100', ...more }, create)
  const wrong: Readonly<Record<string, string>> = {
    net0: 'bridge=vmbr1',
    net31: 'virtio,firewall=maybe',
    scsi0: 'local-lvm:32,cache=fast',
    agent: 'enabled=1,fsfreeze=1',
    ipconfig0: 'ip=dhcp,gateway=1',
    boot: 'order=scsi0,order=net0',
    cpu: 'host,hidden=2',
    memory: 'current=8',
    serial0: 'tty',
    startup: 'order=x',
  }
  for (const [key, value] of Object.entries(wrong)) assert.match(given({ [key]: value })[key] ?? 'nothing', /invalid format|does not match/, `${key}=${value}`)
  const right: Raw = {
    net0: 'virtio=BC:24:11:00:00:01,bridge=vmbr1,firewall=1',
    net31: 'model=virtio',
    scsi0: 'local-lvm:32,discard=on,iothread=on,ssd=1',
    scsi1: 'local-lvm:0,import-from=local:import/u.qcow2',
    ide2: 'local-lvm:cloudinit',
    agent: '1,fstrim_cloned_disks=1',
    ipconfig0: 'ip=10.0.0.2/24,gw=10.0.0.1',
    boot: 'order=scsi0;net0',
    cpu: 'host',
    memory: '2048',
    serial0: 'socket',
    tags: 'autovibe;hub-1',
  }
  assert.deepEqual(given(right), {})
  assert.match(given({ net32: 'virtio' })['net32'] ?? '', /not defined in schema/)
  assert.match(given({ 'net[n]': 'virtio' })['net[n]'] ?? '', /./)
})

test('the words for a broken property string are Proxmox’s', { skip }, () => {
  const create = loadDescription(file ?? '').find('POST', '/nodes/pve1/qemu')?.method.parameters ?? {}
  assert.deepEqual(complaints({ node: 'pve1', vmid: '100', net0: 'bridge=vmbr0' }, create), {
    net0: 'invalid format - format error\nnet0.model: property is missing and it is not optional\n',
  })
  assert.deepEqual(complaints({ node: 'pve1', vmid: '100', net0: 'virtio,colour=red' }, create), {
    net0: 'invalid format - invalid key in comma-separated list property: colour\n',
  })
})

test('a property string is taken apart, with its default key, its aliases and its spoken booleans', () => {
  const keys = { enabled: { type: 'boolean', default_key: 1 }, 'freeze-fs': { type: 'boolean' }, old: { alias: 'freeze-fs' } }
  assert.deepEqual(parsePropertyString(keys, 'yes,old=off'), { values: { enabled: '1', 'freeze-fs': '0' }, complaint: null })
  assert.equal(parsePropertyString(keys, '1,1').complaint, 'duplicate key in comma-separated list property: enabled')
  assert.equal(parsePropertyString(keys, 'old=1,freeze-fs=1').complaint, 'duplicate key in comma-separated list property: freeze-fs')
  assert.equal(parsePropertyString({ a: {} }, 'b').complaint, 'value without key, but schema does not define a default key')
})

test('the keys of a property string are read from its one-line text', () => {
  const keys = keysOfTypeText('[[legacy=]<[acdn]{1,4}>] [,order=<device[;device...]>] [,on=<1|0>] [,n=<integer>] [,k=<a|b>]')
  assert.deepEqual(keys, {
    legacy: { type: 'string', optional: 1, default_key: 1 },
    order: { type: 'string', optional: 1 },
    on: { type: 'boolean', optional: 1 },
    n: { type: 'integer', optional: 1 },
    k: { type: 'string', enum: ['a', 'b'], optional: 1 },
  })
  assert.deepEqual(keysOfTypeText('[type=]<sev-type> [,x=<1|0>]')?.['type'], { type: 'string', default_key: 1 })
  assert.equal(keysOfTypeText('<string>'), null)
})
