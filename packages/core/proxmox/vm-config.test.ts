import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import fc from 'fast-check'
import { configOf, invitationOf, isBaseDisk, mainDisk, rulesOf, sizeOf } from './vm-config.ts'

const limits = { cores: 2, memory_bytes: 1024 ** 3, processes: 100, disk_bytes: 1024 ** 3, wall_seconds: 60 }
const wanted = {
  limits,
  tags: 'autovibe',
  notes: 'a machine',
  bridge: 'vmbr1',
  ipConfig: 'ip=dhcp',
  nameserver: undefined,
  invitation: 'g1.hub:7443.print.secret',
}

test('a clone keeps its own address and number, and loses cards that its template has beside the first', () => {
  const now = { net0: 'e1000=BC:24:11:00:00:01,bridge=vmbr0,tag=5', net1: 'virtio=BC:24:11:00:00:02,bridge=vmbr0', smbios1: 'uuid=abc,family=x' }
  const { parameters, remove } = configOf(now, wanted)
  assert.equal(parameters['net0'], 'e1000=BC:24:11:00:00:01,bridge=vmbr1,firewall=1')
  assert.deepEqual(remove, ['net1'])
  assert.equal(parameters['smbios1'], `uuid=abc,serial=${Buffer.from(wanted.invitation).toString('base64')},base64=1`)
  assert.ok(!('nameserver' in parameters))
})

test('what a VM was told is read from its configuration as it was written, and nothing else is taken for it', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)), maxLength: 200 }), (invitation) => {
      const { smbios1 } = configOf({ smbios1: 'uuid=abc' }, { ...wanted, invitation }).parameters
      assert.equal(invitationOf({ smbios1: String(smbios1) }), invitation)
    }),
  )
  for (const smbios1 of [undefined, '', 'uuid=abc', 'serial=plain', 'uuid=abc,base64=1', 'family=serial=x,base64=1'])
    assert.equal(invitationOf(smbios1 === undefined ? {} : { smbios1 }), null)
})

test('a template without a card gets one, of a new address', () => {
  assert.equal(configOf({}, wanted).parameters['net0'], 'virtio,bridge=vmbr1,firewall=1')
  assert.equal(configOf({ net0: 'nonsense' }, wanted).parameters['net0'], 'virtio,bridge=vmbr1,firewall=1')
})

test('half a core is one that may be busy half of the time', () => {
  assert.deepEqual(sizeOf({ ...limits, cores: 0.5 }), { cores: 1, cpulimit: 0.5, memory: '1280', balloon: 0 })
  assert.deepEqual(sizeOf({ ...limits, cores: 1.25 }), { cores: 2, cpulimit: 1.25, memory: '1280', balloon: 0 })
  assert.equal(sizeOf(limits).cpulimit, 0)
})

test('the only way out leads to the gate', () => {
  assert.deepEqual(rulesOf({ host: '192.0.2.10', port: 7443 }), [{ type: 'out', action: 'ACCEPT', proto: 'tcp', dest: '192.0.2.10', dport: '7443' }])
})

test('the main disk is the first that is none of cloud-init or a CD', () => {
  assert.deepEqual(mainDisk({ ide0: 'local:iso/x.iso,media=cdrom,size=1G', scsi0: 'lvm:vm-1-disk-0,discard=on,size=32G' }), {
    key: 'scsi0',
    sizeBytes: 32 * 1024 ** 3,
  })
  assert.deepEqual(mainDisk({ virtio0: 'dir:1/x.qcow2,size=3584M' }), { key: 'virtio0', sizeBytes: 3584 * 1024 ** 2 })
  assert.equal(mainDisk({ scsi0: 'lvm:vm-1-cloudinit,media=cdrom,size=4M', net0: 'virtio' }), null)
})

test('the disk of a template is told by its volume’s name', () => {
  for (const drive of ['thin:base-9000-disk-0,discard=on,size=12G', 'local:9000/base-9000-disk-0.qcow2,size=12G', 'zfs:base-9000-disk-1'])
    assert.ok(isBaseDisk(drive), drive)
  // A linked clone of one is none, nor is what only looks so elsewhere in the line.
  for (const drive of ['thin:vm-9000-disk-0,size=12G', 'ceph:base-9000-disk-0/vm-100-disk-0', 'thin:vm-9000-disk-0,serial=a/base-1', ''])
    assert.ok(!isBaseDisk(drive), drive)
})
