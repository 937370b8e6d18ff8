import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeId } from '../ids.ts'
import { machineOfName, vmName, vmTags } from './vm-names.ts'

const HUB = '0123456789abcdef0123456789abcdef'
const machineId = encodeId('machine', 1_800_000_000_000, new Uint8Array(10).fill(7))

test('a name leads back to its machine, for its own Hub alone', () => {
  const name = vmName(HUB, machineId)
  assert.match(name, /^[a-z0-9-]{1,63}$/)
  assert.equal(machineOfName(HUB, name), machineId)
  assert.equal(machineOfName(`f${HUB.slice(1)}`, name), null)
})

test('no name of somebody else is taken for ours', () => {
  for (const name of [
    undefined,
    '',
    'mail',
    'av-01234567-short',
    `av-01234567-${'!'.repeat(26)}`,
    `av-01234567-${'u'.repeat(26)}`,
    `x${vmName(HUB, machineId)}`,
  ])
    assert.equal(machineOfName(HUB, name), null)
})

test('tags are such that Proxmox takes them', () => {
  for (const tag of vmTags(HUB, machineId).split(';')) assert.match(tag, /^[a-z0-9_][a-z0-9_\-+.]*$/)
})
