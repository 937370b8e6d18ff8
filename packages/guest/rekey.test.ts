/** A cloned system becomes one of its own. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { rekeySystem } from './rekey.ts'

const hasKeygen = spawnSync('ssh-keygen', ['-?']).error === undefined

test('machine-id, host keys and random seed are made anew', { skip: hasKeygen ? false : 'ssh-keygen is not installed' }, async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'avroot-'))
  t.after(() => rm(root, { recursive: true, force: true }))
  for (const folder of ['etc/ssh', 'var/lib/systemd', 'var/lib/dbus']) await mkdir(join(root, folder), { recursive: true })
  await writeFile(join(root, 'etc/machine-id'), `${'0'.repeat(32)}\n`)
  await symlink('/etc/machine-id', join(root, 'var/lib/dbus/machine-id'))
  await writeFile(join(root, 'var/lib/systemd/random-seed'), 'seed')
  for (const name of ['ssh_host_ed25519_key', 'ssh_host_ed25519_key.pub', 'ssh_host_dsa_key', 'sshd_config'])
    await writeFile(join(root, 'etc/ssh', name), 'old')
  const seen = new Set<string>()
  for (let round = 0; round < 2; round++) {
    await rekeySystem(root, `invitation ${round}`)
    const machineId = await readFile(join(root, 'etc/machine-id'), 'utf8')
    assert.match(machineId, /^[0-9a-f]{32}\n$/)
    const key = await readFile(join(root, 'etc/ssh/ssh_host_ed25519_key'), 'utf8')
    assert.match(key, /PRIVATE KEY/)
    assert.equal((await stat(join(root, 'etc/ssh/ssh_host_ed25519_key'))).mode & 0o077, 0)
    for (const one of [machineId, key]) {
      assert.ok(!seen.has(one))
      seen.add(one)
    }
  }
  const left = await readdir(join(root, 'etc/ssh'))
  assert.ok(!left.includes('ssh_host_dsa_key') && left.includes('sshd_config'))
  assert.equal(await readFile(join(root, 'etc/ssh/sshd_config'), 'utf8'), 'old')
  assert.deepEqual(await readdir(join(root, 'var/lib/systemd')), [])
})

test('a system without SSH has no keys to renew', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'avroot-'))
  t.after(() => rm(root, { recursive: true, force: true }))
  await mkdir(join(root, 'etc'))
  await rekeySystem(root, 'invitation')
  assert.deepEqual(await readdir(join(root, 'etc')), ['machine-id'])
})
