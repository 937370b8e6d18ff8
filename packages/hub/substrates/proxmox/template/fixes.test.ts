/** What a build that cannot go on tells a person to do: each fix is one that mends it, and destroys nothing that is whole. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { AutovibeError } from '@autovibe/contract'
import { WITHOUT_INSTALLING } from '../../../../../test/proxmox/installing-guests.ts'
import { type BuildStage, buildStage, IMAGE_SHA256, TOKEN_ID } from './test-stage.ts'

const skip = WITHOUT_INSTALLING

let at: BuildStage
let vmid = 9300
before(async () => {
  if (skip === false) at = await buildStage()
})
after(() => at?.close())
const next = async (): Promise<number> => {
  await at.grant(++vmid)
  return vmid
}

const writes = (): number => at.pve.journal.entries.filter(({ method, who }) => method !== 'GET' && who === TOKEN_ID).length

test('a lock of a backup is waited for, and nobody is told to destroy what it is of', { skip }, async () => {
  const number = await next()
  const ended = new AbortController()
  await assert.rejects(at.make({ vmid: number }, { signal: ended.signal, tell: (step) => (step === 'disk' ? ended.abort(new Error('enough')) : undefined) }), {
    message: 'enough',
  })
  const vm = at.pve.cluster.vms.get(number)
  assert.ok(vm)
  vm.lock = 'backup'
  for (const abandon of [false, true])
    await assert.rejects(at.make({ vmid: number, abandon }), (error: AutovibeError) => {
      assert.equal(error.code, 'conflict.busy')
      assert.match(error.message, /locked \(backup\)/)
      return error.fix?.startsWith('Wait for that task') === true && !error.fix.includes('destroy')
    })
  vm.lock = null
  await at.make({ vmid: number })
  vm.lock = 'backup'
  assert.ok('template' in (await at.make({ vmid: number })))
})

test('a secret that is wrong leads to the lines that make the token of the making anew', { skip }, async () => {
  await next()
  await assert.rejects(at.make({ vmid: 9999, token_secret: 'not-the-secret' }), (error: AutovibeError) => {
    assert.equal(error.code, 'substrate.unavailable')
    return error.fix?.includes('pveum user token remove autovibe-template@pve build; pveum user token add autovibe-template@pve build --privsep 0 ') === true
  })
})

test('a pool that is not there is named with the line that makes it, before anything is fetched', { skip }, async () => {
  const number = await next()
  const pool = at.pve.cluster.pools.get('autovibe')
  assert.ok(pool)
  at.pve.cluster.pools.delete('autovibe')
  const before = writes()
  await assert.rejects(at.make({ vmid: number }), { fix: 'As root on a node: pveum pool add autovibe' })
  assert.equal(writes(), before)
  at.pve.cluster.pools.set('autovibe', pool)
  await at.make({ vmid: number, abandon: true })
})

test('a command that is told says all that the build is named by', { skip }, async () => {
  const number = await next()
  at.guests.stalled.add(number)
  const network = { kind: 'static', address: '192.0.2.30/24', gateway: '192.0.2.1', nameserver: '192.0.2.53' } as const
  await assert.rejects(at.make({ vmid: number, disk_gib: 20, network }, { patience: { taskMs: 20_000, installMs: 300 } }), (error: AutovibeError) => {
    for (const flags of ['--disk 20', '--ip 192.0.2.30/24,gw=192.0.2.1 --nameserver 192.0.2.53', `--image '${at.imageUrl}'`, `--image-sha256 ${IMAGE_SHA256}`])
      assert.ok(error.fix?.includes(` ${flags} `), `${flags}: ${error.fix}`)
    return true
  })
  await at.make({ vmid: number, abandon: true })
})

test('a host without xorriso says so before anything is fetched', { skip }, async () => {
  const number = await next()
  const before = writes()
  const { PATH } = process.env
  process.env['PATH'] = '/nowhere'
  try {
    await assert.rejects(at.make({ vmid: number }), { message: /no xorriso/, fix: 'On that host: apt-get install xorriso' })
  } finally {
    process.env['PATH'] = PATH
  }
  assert.equal(writes(), before)
})
