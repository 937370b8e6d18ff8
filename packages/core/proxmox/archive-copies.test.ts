import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodeId } from '../ids.ts'
import { copyByNotes, copyOfTask, type ListedCopy, targetOfLog, verificationOf } from './archive-copies.ts'
import { archiveNotes, readArchiveNotes } from './archive-notes.ts'

const HUB = '0123456789abcdef0123456789abcdef'
const OTHER_HUB = 'f123456789abcdef0123456789abcdef'
const idOf = <K extends 'machineArchive' | 'machine' | 'checkpoint'>(kind: K, byte: number) => encodeId(kind, 1_800_000_000_000, new Uint8Array(10).fill(byte))
const notesOf = (byte: number, hubId = HUB): string =>
  archiveNotes({ archiveId: idOf('machineArchive', byte), machineId: idOf('machine', byte), checkpointId: idOf('checkpoint', byte), hubId })
const copy = (volid: string, more: Partial<ListedCopy> = {}): ListedCopy => ({ volid, size: 1, ctime: 100, ...more })
const archive = { archiveId: idOf('machineArchive', 1), hubId: HUB, volid: null }

test('notes lead back to what they were written of, and fit into one line that Proxmox takes as it is', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 10, maxLength: 10 }), fc.integer({ min: 0, max: 2 ** 45 }), (bytes, ms) => {
      const all = {
        archiveId: encodeId('machineArchive', ms, bytes),
        machineId: encodeId('machine', ms, bytes),
        checkpointId: encodeId('checkpoint', ms, bytes),
        hubId: HUB,
      }
      const notes = archiveNotes(all)
      assert.deepEqual(readArchiveNotes(notes), all)
      assert.match(notes, /^[^\n\\{}]{1,1024}$/)
    }),
  )
})

test('notes of anybody else say nothing', () => {
  for (const notes of [
    undefined,
    '',
    'av-01234567',
    `${notesOf(1)} `,
    `x${notesOf(1)}`,
    notesOf(1).replace('arc_', 'mch_'),
    notesOf(1).replace(HUB, HUB.slice(1)),
  ])
    assert.equal(readArchiveNotes(notes), null)
})

test('a copy is ours by notes that name its archive and this Hub, and by its name once that is known', () => {
  const others = [copy('a'), copy('b', { notes: notesOf(2) }), copy('c', { notes: notesOf(1, OTHER_HUB) })]
  assert.equal(copyByNotes(others, archive), null)
  assert.equal(copyByNotes([...others, copy('d', { notes: notesOf(1) })], archive)?.volid, 'd')
  assert.equal(copyByNotes([copy('d', { notes: notesOf(1) })], { ...archive, volid: 'e' }), null)
  // Somebody has changed the notes: it is not touched, whatever its name.
  assert.equal(copyByNotes([copy('d', { notes: 'mine now' })], { ...archive, volid: 'd' }), null)
})

test('without notes, a task’s copy is the one that its log names, and none if that has notes of somebody else', () => {
  const nightly = copy('pbs:backup/vm/100/2026-11-30T02:40:00Z')
  const ours = copy('pbs:backup/vm/100/2026-11-30T03:10:00Z')
  const said = (target: string) => targetOfLog([`INFO: starting new backup job: vzdump 100`, `INFO: creating Proxmox Backup Server archive '${target}'`])
  assert.equal(copyOfTask([nightly, ours], said('vm/100/2026-11-30T03:10:00Z')), ours)
  assert.equal(copyOfTask([nightly, { ...ours, notes: 'mine now' }], said('vm/100/2026-11-30T03:10:00Z')), null)
  const file = copy('nas:backup/vzdump-qemu-100-2026_11_30-03_10_00.vma.zst')
  assert.equal(
    copyOfTask([nightly, file], targetOfLog([`INFO: creating vzdump archive '/mnt/pve/nas/dump/vzdump-qemu-100-2026_11_30-03_10_00.vma.zst'`])),
    file,
  )
})

test('a task that has not begun to write has made no copy, whatever was copied since it was started', () => {
  const log = ['INFO: trying to get global lock - waiting...', "INFO: VM Name: creating archive 'vm/100/2026-11-30T02:40:00Z'"]
  assert.equal(targetOfLog(log), null)
  assert.equal(copyOfTask([copy('pbs:backup/vm/100/2026-11-30T02:40:00Z')], targetOfLog(log)), null)
})

test('only a backup server verifies, and what it says beside ok and failed is not known yet', () => {
  const verification = (state: string) => copy('a', { verification: { state } })
  assert.equal(verificationOf('dir', verification('ok')), 'none')
  assert.deepEqual([verificationOf('pbs', copy('a')), verificationOf('pbs', verification('running'))], ['pending', 'pending'])
  assert.deepEqual([verificationOf('pbs', verification('ok')), verificationOf('pbs', verification('failed'))], ['ok', 'failed'])
})
