import assert from 'node:assert/strict'
import { test } from 'node:test'
import { abilitiesOf, forkWay, STORAGE_ABILITIES } from './storage-abilities.ts'

test('where a snapshot can be cloned without copying it, a fork is that; everywhere else the tree comes from the store', () => {
  const ways = Object.fromEntries(Object.keys(STORAGE_ABILITIES).map((type) => [type, `${forkWay(type).way} ${forkWay(type).template}`]))
  assert.deepEqual(ways, {
    lvmthin: 'snapshot linked',
    rbd: 'snapshot linked',
    btrfs: 'snapshot linked',
    zfspool: 'store linked',
    zfs: 'store linked',
    dir: 'store linked',
    nfs: 'store linked',
    cifs: 'store linked',
    lvm: 'store full',
    iscsi: 'store full',
    iscsidirect: 'store full',
    cephfs: 'store full',
    pbs: 'store full',
    esxi: 'store full',
  })
})

test('why a fork does not clone the snapshot is said for each type', () => {
  assert.equal(forkWay('zfspool').why, 'Proxmox clones no snapshot on zfspool, neither linked nor full')
  assert.equal(forkWay('dir').why, 'dir clones a snapshot only by copying the whole disk')
  assert.equal(forkWay('lvm').why, 'lvm has no snapshots')
})

test('a type that nobody knows has no abilities, also one with a name of every object', () => {
  for (const type of ['tape', 'constructor', '__proto__']) {
    assert.equal(abilitiesOf(type), null)
    assert.equal(forkWay(type).way, 'store')
  }
})
