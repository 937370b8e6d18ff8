import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { abilitiesOf, forkWay, STORAGE_ABILITIES, type StorageAbilities } from './storage-abilities.ts'

test('where a snapshot can be cloned without copying it, a fork is that; elsewhere the tree comes from the store, if machines can be made at all', () => {
  const ways = Object.fromEntries(Object.keys(STORAGE_ABILITIES).map((type) => [type, forkWay(type).way]))
  assert.deepEqual(ways, {
    lvmthin: 'snapshot',
    rbd: 'snapshot',
    btrfs: 'snapshot',
    zfspool: 'store',
    zfs: 'store',
    dir: 'store',
    nfs: 'store',
    cifs: 'store',
    lvm: 'none',
    iscsi: 'none',
    iscsidirect: 'none',
    cephfs: 'none',
    pbs: 'none',
    esxi: 'none',
  })
})

test('why a fork does not clone the snapshot is said for each type', () => {
  assert.equal(forkWay('zfspool').why, 'Proxmox clones no snapshot on zfspool, neither linked nor full')
  assert.equal(forkWay('dir').why, 'dir clones a snapshot only by copying the whole disk')
  assert.equal(forkWay('lvm').why, 'lvm copies a template only whole, and machines share its blocks')
})

test('a type that nobody knows has no abilities, also one with a name of every object', () => {
  for (const type of ['tape', 'constructor', '__proto__']) {
    assert.equal(abilitiesOf(type), null)
    assert.equal(forkWay(type).way, 'none')
  }
})

const SNAPSHOTS: Readonly<Record<StorageAbilities['snapshots'], string>> = { any: 'yes', newest: 'newest only', none: 'no' }
const FORKS = { snapshot: 'linked clone of the snapshot', store: 'template, tree from the store', none: 'not possible' } as const

test('the page of the reference says what the table says', () => {
  const page = readFileSync(new URL('../../../docs/reference/proxmox-storages.md', import.meta.url), 'utf8')
  const rows = Object.entries(STORAGE_ABILITIES).map(([type, { snapshots, clonesHoldParent, shared, format }]) => {
    const { way } = forkWay(type)
    const machine = way === 'none' ? 'not possible' : 'linked clone'
    const fork = `${FORKS[way]}${clonesHoldParent ? ', holds its source' : ''}`
    return `| \`${type}\` | ${SNAPSHOTS[snapshots]} | ${machine} | ${fork} | ${shared ? 'yes' : 'no'} | ${format ?? '-'} |`
  })
  assert.deepEqual(
    page.split('\n').filter((line) => line.startsWith('| `')),
    rows,
  )
})
