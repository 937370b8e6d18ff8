/** A build meets each fault at every call that changes something, or its command ends there; in the end the template is whole, and nothing else is there. */
import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { asker } from '../../../../../test/proxmox/ask.ts'
import type { Fault } from '../../../../../test/proxmox/faults.ts'
import { WITHOUT_INSTALLING } from '../../../../../test/proxmox/installing-guests.ts'
import { until } from '../../../../../test/support/until.ts'
import { type BuildStage, buildStage } from './test-stage.ts'

const skip = WITHOUT_INSTALLING

/** Every call that changes something, as often as a build makes it: the options are changed four times, and two files are removed. */
const CALLS: Readonly<Record<string, number>> = {
  'POST /nodes/{node}/storage/{storage}/download-url': 1,
  'POST /nodes/{node}/storage/{storage}/upload': 1,
  'POST /nodes/{node}/qemu': 1,
  'PUT /nodes/{node}/qemu/{vmid}/resize': 1,
  'POST /nodes/{node}/qemu/{vmid}/status/start': 1,
  'POST /nodes/{node}/qemu/{vmid}/status/shutdown': 1,
  'POST /nodes/{node}/qemu/{vmid}/config': 4,
  'POST /nodes/{node}/qemu/{vmid}/template': 1,
  'DELETE /nodes/{node}/storage/{storage}/content/{volume}': 2,
}
const CREATE = 'POST /nodes/{node}/qemu'
const ALL = Object.values(CALLS).reduce((sum, count) => sum + count, 0)
/** More than the faults of one build. */
const RUNS_MOST = 3 * ALL

let at: BuildStage
let mail: string | null
let vmid = 9100
before(async () => {
  if (skip !== false) return
  at = await buildStage()
  at.pve.plantVm({ vmid: 500, node: 'pve1', name: 'mail', tags: 'prod' })
  mail = at.pve.digestOfVm(500)
})
after(() => at?.close())
beforeEach(async () => {
  if (skip === false) await at.grant(++vmid)
})

/** Each call that changes something meets the fault: every time when its work is done all the same, every other time when it is not, so that the next goes through. */
function everywhere(
  fault: Fault | null,
  { isDone, onMet = () => undefined, spare = () => false }: { isDone: boolean; onMet?: () => void; spare?: (key: string) => boolean },
) {
  const seen = new Map<string, number>()
  let met = 0
  at.pve.setFaults(({ method, template }) => {
    const key = `${method} ${template}`
    if (CALLS[key] === undefined || spare(key)) return null
    const count = (seen.get(key) ?? 0) + 1
    seen.set(key, count)
    if (!isDone && count % 2 === 0) return null
    met += 1
    onMet()
    return fault
  })
  return { met: () => met }
}

function assertWhole(): void {
  at.pve.setFaults(null)
  const { config, lock, pid } = at.pve.cluster.vms.get(vmid) ?? { config: {} as Record<string, string>, lock: 'gone', pid: null }
  assert.deepEqual([config['template'], config['tags'], lock, pid], ['1', 'autovibe-template', null, null])
  assert.match(config['ide2'] ?? '', /cloudinit/)
  assert.equal(at.guests.failures.get(vmid), undefined)
  const { storages } = at.pve.cluster
  assert.deepEqual(
    storages.volumes(storages.get('local'), 'pve1').map(({ volid }) => volid),
    [],
  )
  assert.match(config['scsi0'] ?? '', /^thin:base-/)
  // One disk and one drive for cloud-init: nothing was made twice.
  const own = storages.volumes(storages.get('thin'), 'pve1').filter((volume) => volume.vmid === vmid)
  assert.equal(own.length, 2, own.map(({ volid }) => volid).join(' '))
  assert.deepEqual(at.pve.journal.writesTo(500), [])
  assert.equal(at.pve.digestOfVm(500), mail)
}

/** The same command again and again, until it ends well; answers why it did not before. */
async function untilMade(signal: () => AbortSignal = () => new AbortController().signal): Promise<string[]> {
  const reasons: string[] = []
  for (let run = 0; run < RUNS_MOST; run += 1) {
    try {
      await at.make({ vmid }, { signal: signal() })
      return reasons
    } catch (error) {
      reasons.push((error as Error).message)
    }
  }
  throw new Error(`it is not made after ${RUNS_MOST} runs: ${reasons.at(-1)}`)
}

for (const [name, fault, isDone] of [
  ['what it asked for is still done', null, true],
  ['what it asked for never arrives', { kind: 'reset', when: 'before' }, false],
] as const)
  test(`the command ends at every call, and ${name}; the same again goes on where it was`, { skip }, async () => {
    let ends = new AbortController()
    const { met } = everywhere(fault, { isDone, onMet: () => ends.abort(new Error('the command ended')) })
    const reasons = await untilMade(() => {
      ends = new AbortController()
      return ends.signal
    })
    assert.equal(met(), ALL)
    assert.deepEqual(reasons, Array(ALL).fill('the command ended'))
    assertWhole()
  })

for (const [name, fault, isDone] of [
  ['every answer is lost', { kind: 'reset', when: 'after' }, true],
  ['every connection breaks once before', { kind: 'reset', when: 'before' }, false],
  ['a node never answers its proxy, and does all the same', { kind: 'answer', when: 'after', status: 596, reason: 'Connection timed out' }, true],
  ['every task is gone when it has done its work', { kind: 'task vanishes', when: 'after', log: 'gone' }, true],
] as const)
  test(`${name}, and it goes on by itself`, { skip }, async () => {
    const { met } = everywhere(fault, { isDone })
    await at.make({ vmid })
    assert.equal(met(), ALL)
    assertWhole()
  })

test('every task fails once, each is told with its words, and the same command again goes on', { skip }, async () => {
  const { met } = everywhere({ kind: 'task', when: 'before', exit: 'no such luck' }, { isDone: false, spare: (key) => key === CREATE })
  const reasons = await untilMade()
  assert.equal(met(), ALL - 1)
  assert.equal(reasons.length, ALL - 1)
  for (const reason of reasons) assert.match(reason, /^Proxmox: the task .* failed: no such luck$/)
  assertWhole()
})

test('the command ends between the start and its note, and the VM is ended before it goes on: it is started a second time', { skip }, async () => {
  const ended = new AbortController()
  await assert.rejects(at.make({ vmid }, { signal: ended.signal, tell: (step) => (step === 'mark' ? ended.abort(new Error('enough')) : undefined) }), {
    message: 'enough',
  })
  await until('the VM is on', 10_000, async () => at.guests.hostNames.has(vmid) || undefined)
  at.guests.end(vmid)
  const told: string[] = []
  await at.make({ vmid }, { tell: (step) => void (told.at(-1) === step || told.push(step)), patience: { taskMs: 20_000, installMs: 10_000 } })
  assert.ok(told.includes('start'), told.join(' '))
  assertWhole()
})

test('a conversion that breaks half-way is brought to its end, and until then can be given up', { skip }, async () => {
  const half = (): void =>
    at.pve.setFaults(({ template }) =>
      template === '/nodes/{node}/qemu/{vmid}/template' ? { kind: 'task', when: 'halfway', exit: 'the disk could not be renamed' } : null,
    )
  half()
  await assert.rejects(at.make({ vmid }), { message: /the disk could not be renamed/ })
  await assert.rejects(at.make({ vmid }), { message: /the disk could not be renamed/ })
  const { config } = at.pve.cluster.vms.get(vmid) ?? { config: {} as Record<string, string> }
  assert.deepEqual([config['template'], config['scsi0']?.startsWith('thin:vm-')], ['1', true])
  at.pve.setFaults(null)
  await at.make({ vmid })
  assertWhole()
  await at.grant(++vmid)
  half()
  await assert.rejects(at.make({ vmid }), { message: /the disk could not be renamed/ })
  at.pve.setFaults(null)
  const { removed } = (await at.make({ vmid, abandon: true })) as { removed: string[] }
  assert.deepEqual([removed.at(-1), at.pve.cluster.vms.has(vmid)], [`VM ${vmid}`, false])
})

test('the answer to its removal is lost, and it is given up all the same', { skip }, async () => {
  const ended = new AbortController()
  await assert.rejects(at.make({ vmid }, { signal: ended.signal, tell: (step) => (step === 'disk' ? ended.abort(new Error('enough')) : undefined) }), {
    message: 'enough',
  })
  at.pve.setFaults(({ method, template }) => (`${method} ${template}` === 'DELETE /nodes/{node}/qemu/{vmid}' ? { kind: 'reset', when: 'after' } : null))
  const { removed } = (await at.make({ vmid, abandon: true })) as { removed: string[] }
  at.pve.setFaults(null)
  assert.deepEqual([removed.at(-1), at.pve.cluster.vms.has(vmid)], [`VM ${vmid}`, false])
  assert.deepEqual(await at.make({ vmid, abandon: true }), { removed: [] })
})

test('what others have tagged the VM with stays', { skip }, async () => {
  const add = (): void => {
    const config = at.pve.cluster.vms.get(vmid)?.config
    assert.ok(config)
    config['tags'] = 'autovibe-template;prod'
  }
  await at.make({ vmid }, { tell: (step) => (step === 'start' ? add() : undefined) })
  assert.deepEqual(at.pve.cluster.vms.get(vmid)?.config['tags']?.split(';').sort(), ['autovibe-template', 'prod'])
})

test('what is left of a VM whose making was cut off, nobody but root can take away, and that is what is said', { skip }, async () => {
  at.pve.setFaults(({ method, template }) => (`${method} ${template}` === CREATE ? { kind: 'task vanishes', when: 'before', log: 'left' } : null))
  const locked = {
    code: 'substrate.failed',
    fix: `As root on pve1, if no task works on it (pvenode task list --source active): qm unlock ${vmid} && qm destroy ${vmid} --purge --destroy-unreferenced-disks 1`,
  }
  await assert.rejects(at.make({ vmid }), locked)
  await assert.rejects(at.make({ vmid, abandon: true }), locked)
  at.pve.setFaults(null)
  // `qm unlock` asks nobody.
  const left = at.pve.cluster.vms.get(vmid)
  assert.ok(left)
  left.lock = null
  await asker(at.pve).task('DELETE', `/nodes/pve1/qemu/${vmid}`)
  await at.grant(vmid)
  await at.make({ vmid })
  assertWhole()
})
