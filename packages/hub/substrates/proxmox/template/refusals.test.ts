/** What a build does not do, and says: too few rights, a storage that does not take it, a number that is taken, another image, a VM that does not end. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import { asker } from '../../../../../test/proxmox/ask.ts'
import { descriptionFile } from '../../../../../test/proxmox/description.ts'
import { WITHOUT_INSTALLING } from '../../../../../test/proxmox/installing-guests.ts'
import { buildPrivileges } from '../client/template-needs.ts'
import { type BuildStage, buildStage, IMAGE_SHA256, TOKEN_ID } from './test-stage.ts'

const skip = WITHOUT_INSTALLING || (descriptionFile() === null ? 'Proxmox’s description is not beside this checkout' : false)
const ROLE: Readonly<Record<string, string>> = { vm: 'Vm', images: 'Images', disks: 'Disks', node: 'Node', bridge: 'Bridges', pool: 'Pool' }

let at: BuildStage
let vmid = 9200
before(async () => {
  if (skip !== false) return
  at = await buildStage({
    storages: [
      { id: 'thin', type: 'lvmthin' },
      { id: 'only-discs', type: 'dir', content: ['iso', 'backup'] },
    ],
  })
})
after(() => at?.close())
const next = async (): Promise<number> => {
  await at.grant(++vmid)
  return vmid
}
const writes = (): number => at.pve.journal.entries.filter(({ method, who }) => method !== 'GET' && who === TOKEN_ID).length

test('without any one of its privileges nothing is begun, and the error names it with where it lacks', { skip }, async () => {
  const number = await next()
  const before = writes()
  for (const [place, privileges] of Object.entries(buildPrivileges()))
    for (const privilege of privileges) {
      const set = (held: readonly string[]): void => at.pve.access.addRole(`AutovibeTemplate${ROLE[place]}`, held)
      set(privileges.filter((each) => each !== privilege))
      await assert.rejects(at.make({ vmid: number }), (error: AutovibeError) => {
        assert.equal(error.code, 'substrate.failed')
        assert.ok(
          error.errors?.some(({ path, message }) => message === privilege && error.message.includes(path)),
          `${privilege}: ${error.message}`,
        )
        return /pveum acl modify .* --users autovibe-template@pve --roles AutovibeTemplate/.test(error.fix ?? '')
      })
      set(privileges)
    }
  assert.equal(writes(), before)
})

test('each privilege is one that Proxmox asks for: with the looks left aside, some call refuses without it', { skip }, async () => {
  for (const [place, privileges] of Object.entries(buildPrivileges()))
    for (const privilege of privileges) {
      const number = await next()
      const role = `AutovibeTemplate${ROLE[place]}`
      // What it may is read before, and taken away as soon as the first call has come that is no look at rights.
      let asked = 0
      at.pve.setFaults(({ template }) => {
        if (template === '/access/permissions') asked += 1
        else if (asked > 0)
          at.pve.access.addRole(
            role,
            privileges.filter((each) => each !== privilege),
          )
        return null
      })
      // It is asked for when a VM has gone off too early, to tell what has ended it.
      const isAskedLate = privilege === 'Sys.Audit'
      if (isAskedLate) at.guests.stalled.add(number)
      const endEarly = (step: string): void => void (isAskedLate && step === 'install' && at.guests.running.has(number) && at.guests.end(number))
      const outcome = await at.make({ vmid: number }, { tell: endEarly }).then(
        () => 'made',
        (error: unknown) => error,
      )
      at.pve.setFaults(null)
      at.pve.access.addRole(role, privileges)
      assert.ok(outcome instanceof AutovibeError, `${privilege} on ${place} is asked for nowhere`)
      if (isAskedLate) assert.match(outcome.message, /Sys\.Audit/)
      await at.make({ vmid: number, abandon: true })
    }
})

test('a refusal on the way leads to the lines for this token, not to those of the Hub’s', { skip }, async () => {
  const number = await next()
  let asked = 0
  at.pve.setFaults(({ template }) => {
    if (template === '/access/permissions') asked += 1
    else if (asked > 0) at.pve.access.addRole('AutovibeTemplateBridges', [])
    return null
  })
  await assert.rejects(at.make({ vmid: number }), (error: AutovibeError) => {
    assert.match(error.message, /SDN\.Use/)
    return error.fix?.includes(`autovibe substrate grants lab --for template --node pve1 --vmid ${number}`) === true
  })
  at.pve.setFaults(null)
  at.pve.access.addRole('AutovibeTemplateBridges', buildPrivileges().bridge)
  await at.make({ vmid: number, abandon: true })
})

test('a storage that takes no images, a bridge that is not there: said before anything is begun', { skip }, async () => {
  const number = await next()
  const before = writes()
  await at.pve.pveum('pveum acl modify /storage/only-discs --users autovibe-template@pve --roles AutovibeTemplateImages')
  await assert.rejects(at.make({ vmid: number, image_storage: 'only-discs' }), {
    code: 'substrate.failed',
    message: 'The storage only-discs takes no images to import.',
    fix: 'pvesm set only-discs --content iso,backup,import',
  })
  await at.pve.pveum('pveum acl modify /sdn/zones/localnetwork/vmbr7 --users autovibe-template@pve --roles AutovibeTemplateBridges')
  await assert.rejects(at.make({ vmid: number, bridge: 'vmbr7' }), { code: 'substrate.failed', message: 'pve1 has no bridge vmbr7.' })
  assert.equal(writes(), before)
})

test('an image with another sum is refused by the node, and leaves nothing', { skip }, async () => {
  const number = await next()
  const wrong = '1'.repeat(64)
  await assert.rejects(at.make({ vmid: number, image_sha256: wrong }), { code: 'substrate.failed', message: new RegExp(`checksum mismatch.*${wrong}`) })
  assert.equal(at.pve.cluster.vms.has(number), false)
  await at.make({ vmid: number, image_sha256: null })
  assert.equal(at.pve.cluster.vms.get(number)?.config['template'], '1')
  await assert.rejects(at.make({ vmid: number, image_sha256: null, image_url: at.imageUrl.replace('noble', 'unknown') }), {
    message: /says nothing of unknown\.img/,
  })
})

test('a sum is not fetched where anybody on the way could change it', { skip }, async () => {
  await assert.rejects(at.make({ vmid: 9999, image_sha256: null, image_url: 'http://images.example.com/noble.img' }), {
    code: 'request.invalid',
    fix: 'Give it: --image-sha256 SUM',
  })
})

test('a number that is somebody else’s is left alone, on this node and on another', { skip }, async () => {
  const here = await next()
  at.pve.plantVm({ vmid: here, node: 'pve1', name: 'mail' })
  const there = await next()
  at.pve.plantVm({ vmid: there, node: 'pve2', name: 'autovibe-template-0123456789ab' })
  const digests = [here, there].map((number) => at.pve.digestOfVm(number))
  for (const abandon of [false, true])
    await assert.rejects(at.make({ vmid: there, abandon }), { code: 'conflict.state', message: /taken by a VM on another node/ })
  await assert.rejects(at.make({ vmid: here }), { code: 'conflict.state', message: /somebody else's/ })
  assert.deepEqual(await at.make({ vmid: here, abandon: true }), { removed: [] })
  assert.deepEqual(
    [here, there].map((number) => at.pve.digestOfVm(number)),
    digests,
  )
})

test('an unfinished build of another image is not gone on with, but can be given up', { skip }, async () => {
  const number = await next()
  const ended = new AbortController()
  await assert.rejects(at.make({ vmid: number }, { signal: ended.signal, tell: (step) => (step === 'disk' ? ended.abort(new Error('enough')) : undefined) }), {
    message: 'enough',
  })
  await assert.rejects(at.make({ vmid: number, disk_gib: 20 }), {
    code: 'conflict.state',
    message: /unfinished build/,
    fix: new RegExp(`--image-sha256 ${IMAGE_SHA256}.*--abandon`),
  })
  const { removed } = (await at.make({ vmid: number, disk_gib: 20, abandon: true })) as { removed: string[] }
  assert.equal(removed.at(-1), `VM ${number}`)
  assert.equal(removed.length, 3)
})

test('a VM that does not come to its end is told with where to look, and waited for again by the same command', { skip }, async () => {
  const number = await next()
  at.guests.stalled.add(number)
  await assert.rejects(at.make({ vmid: number }, { patience: { taskMs: 20_000, installMs: 300 } }), {
    code: 'operation.deadline',
    fix: new RegExp(`qm terminal ${number}.*--abandon`),
  })
  // It has been on for longer than anybody waits.
  const vm = at.pve.cluster.vms.get(number)
  assert.ok(vm)
  vm.startedAt -= 86_400
  const { promise: installs, resolve } = Promise.withResolvers<void>()
  const waiting = at.make({ vmid: number }, { tell: (step) => (step === 'install' ? resolve() : undefined) })
  await installs
  await at.guests.finish(number)
  assert.ok('template' in (await waiting))
})

test('a VM whose process its node has ended half-way does not become a template, and can be given up', { skip }, async () => {
  const number = await next()
  at.guests.stalled.add(number)
  await assert.rejects(at.make({ vmid: number }, { patience: { taskMs: 20_000, installMs: 300 } }), { code: 'operation.deadline' })
  at.guests.end(number)
  for (let times = 0; times < 2; times += 1)
    await assert.rejects(at.make({ vmid: number }), {
      code: 'substrate.failed',
      message: /went off before it said that all is installed/,
      fix: /journalctl -k --grep oom.* begin anew: .*--abandon/,
    })
  assert.notEqual(at.pve.cluster.vms.get(number)?.config['template'], '1')
  assert.equal(((await at.make({ vmid: number, abandon: true })) as { removed: string[] }).removed.at(-1), `VM ${number}`)
})

test('a VM that somebody has stopped half-way does not become a template', { skip }, async () => {
  const number = await next()
  at.guests.stalled.add(number)
  await assert.rejects(at.make({ vmid: number }, { patience: { taskMs: 20_000, installMs: 300 } }), { code: 'operation.deadline' })
  await asker(at.pve).task('POST', `/nodes/pve1/qemu/${number}/status/stop`)
  await assert.rejects(at.make({ vmid: number }), { code: 'substrate.failed', message: /somebody has stopped it \(qmstop by root@pam/ })
  assert.notEqual(at.pve.cluster.vms.get(number)?.config['template'], '1')
})

test('one whose node has restarted meanwhile neither', { skip }, async () => {
  // A node that says that it has booted later than the VM was started.
  const other = await buildStage({ nodes: [{ name: 'pve1', bootedAt: Math.floor(Date.now() / 1000) + 300 }] })
  try {
    await other.grant(9000)
    other.guests.stalled.add(9000)
    await assert.rejects(other.make({}, { patience: { taskMs: 20_000, installMs: 300 } }), { code: 'operation.deadline' })
    other.guests.end(9000)
    await assert.rejects(other.make(), { code: 'substrate.failed', message: /off, but not by itself: pve1 has restarted meanwhile/ })
    assert.notEqual(other.pve.cluster.vms.get(9000)?.config['template'], '1')
  } finally {
    await other.close()
  }
})

test('a sum is not fetched from where it leads to without TLS', { skip }, async () => {
  const image_url = at.imageUrl.replace('noble.img', 'moved/noble.img')
  await assert.rejects(at.make({ vmid: 9999, image_sha256: null, image_url }), {
    code: 'substrate.failed',
    message: /leads to http:\/\/images\.example\.com, without TLS/,
  })
})

test('the Hub’s own token is not taken for it, and a number of machines neither', { skip }, async () => {
  await assert.rejects(at.make({ vmid: 9999, token_id: 'autovibe@pve!hub', bridge: 'vmbr2' }), {
    code: 'request.invalid',
    message: /the Hub's own token/,
    fix: /grants lab --for template --node pve1 --vmid 9999 --image-storage local --bridge vmbr2$/,
  })
  await assert.rejects(at.make({ vmid: 900_001 }), { code: 'request.invalid', message: /among those of machines/ })
})
