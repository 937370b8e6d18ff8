import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backupFailure } from './archive-failures.ts'

const failed = (reason: string): string[] => ['INFO: starting new backup job', `ERROR: Backup of VM 900001 failed - ${reason}`, 'TASK ERROR: job errors']

test('the reason of a failed backup is in its log, and not in its end', () => {
  assert.deepEqual(backupFailure('job errors', failed('unable to open image')), { kind: 'other', words: 'unable to open image' })
  assert.deepEqual(backupFailure('received interrupt', []), { kind: 'other', words: 'received interrupt' })
})

test('a lock may pass; a full storage and too many protected copies need a person', () => {
  const kind = (reason: string): string => backupFailure('job errors', failed(reason)).kind
  assert.equal(kind('VM is locked (snapshot)'), 'locked')
  assert.equal(kind("can't acquire lock '/var/run/vzdump.lock' - got timeout"), 'locked')
  assert.equal(kind('vma_queue_write: write error - No space left on device'), 'full')
  assert.equal(kind('backup write data failed: command error: write_data upload error: ENOSPC: No space left on device'), 'full')
  assert.equal(kind("The number of protected backups per guest is limited to 5 on storage 'pbs'"), 'protected')
})
