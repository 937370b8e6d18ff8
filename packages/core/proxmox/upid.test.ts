import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseUpid } from './upid.ts'

const hex = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0')
const name = fc.stringMatching(/^[a-zA-Z0-9]([a-zA-Z0-9-]{0,20}[a-zA-Z0-9])?$/)
const word = fc.stringMatching(/^[^:\s/]{1,20}$/)
const number = fc.integer({ min: 0, max: 0xffffffff })

test('whatever Proxmox puts into a UPID is read out of it again', () => {
  fc.assert(
    fc.property(
      name,
      number,
      fc.integer({ min: 0, max: 0xfffffffff }),
      number,
      word,
      fc.oneof(word, fc.constant('')),
      word,
      (node, pid, pstart, starttimeS, type, id, user) => {
        const upid = `UPID:${node}:${hex(pid)}:${hex(pstart)}:${hex(starttimeS)}:${type}:${id}:${user}:`
        assert.deepEqual(parseUpid(upid), { upid, node, pid, pstart, starttimeS, type, id, user })
      },
    ),
  )
})

for (const text of [
  '',
  'UPID:pve1:00000001:00000001:65000000:qmclone:100:hub@pve',
  'UPID:pve1:00000001:00000001:65000000:qmclone:100:hub@pve:\n',
  'UPID:pve1:1:00000001:65000000:qmclone:100:hub@pve:',
  'UPID:pve1:00000001:00000001:65000000:qm/clone:100:hub@pve:',
  'UPID:../x:00000001:00000001:65000000:qmclone:100:hub@pve:',
  'UPID:-pve:00000001:00000001:65000000:qmclone:100:hub@pve:',
  ' UPID:pve1:00000001:00000001:65000000:qmclone:100:hub@pve:',
  `UPID:pve1:00000001:00000001:65000000:qmclone:100:${'a'.repeat(500)}:`,
])
  test(`no UPID is ${JSON.stringify(text.slice(0, 80))}`, () => assert.equal(parseUpid(text), null))
