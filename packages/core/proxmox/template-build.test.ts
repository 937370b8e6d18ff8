import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  buildNames,
  buildNotes,
  INSTALLED_TAG,
  INSTALLING_TAG,
  isBuildFile,
  isBuildName,
  isFinishedTemplate,
  isUnfinishedBuild,
  nextOfBuild,
  type SeenBuild,
  type SeenVm,
  sumOfNotes,
  TEMPLATE_TAG,
} from './template-build.ts'

const HASH = 'ab'.repeat(32)
const SUM = 'cd'.repeat(32)
const names = buildNames(9000, HASH, SUM)
const wanted = { name: names.vm, diskBytes: 12 }

const fresh: SeenVm = {
  name: names.vm,
  tags: [TEMPLATE_TAG],
  isTemplate: false,
  isRunning: false,
  lock: undefined,
  imageSha256: SUM,
  diskBytes: 3,
  isSettled: false,
}

/** What each step leaves, as the cluster would show it. */
const EFFECTS: Readonly<Record<string, (seen: SeenBuild) => SeenBuild>> = {
  image: (seen) => ({ ...seen, image: true, leftovers: seen.leftovers + 1 }),
  seed: (seen) => ({ ...seen, seed: true, leftovers: seen.leftovers + 1 }),
  vm: (seen) => ({ ...seen, vm: fresh }),
  disk: (seen) => changed(seen, { diskBytes: 12 }),
  start: (seen) => changed(seen, { isRunning: true }),
  mark: (seen) => changed(seen, { tags: [TEMPLATE_TAG, INSTALLING_TAG] }),
  install: (seen) => changed(seen, { tags: [TEMPLATE_TAG, INSTALLING_TAG, INSTALLED_TAG] }),
  off: (seen) => changed(seen, { isRunning: false }),
  settle: (seen) => changed(seen, { isSettled: true }),
  convert: (seen) => changed(seen, { isTemplate: true }),
  tidy: (seen) => ({ ...changed(seen, { tags: [TEMPLATE_TAG] }), leftovers: 0 }),
}
const changed = (seen: SeenBuild, change: Partial<SeenVm>): SeenBuild => ({ ...seen, vm: { ...(seen.vm ?? fresh), ...change } })

test('from nothing, each step leads to the next, and the last is the end', () => {
  const steps: string[] = []
  let seen: SeenBuild = { vm: null, image: false, seed: false, leftovers: 0 }
  for (let next = nextOfBuild(seen, wanted); next !== 'done'; next = nextOfBuild(seen, wanted)) {
    steps.push(next)
    assert.ok(steps.length < 20, steps.join(' '))
    seen = EFFECTS[next]?.(seen) ?? seen
  }
  assert.deepEqual(steps, Object.keys(EFFECTS))
})

test('a VM of any other name is left alone, whatever else it looks like', () => {
  const vm = fc.record({
    name: fc.option(fc.oneof(fc.string(), fc.constant('autovibe-template-0123456789ab')), { nil: undefined }),
    tags: fc.subarray([TEMPLATE_TAG, INSTALLING_TAG, 'prod']),
    isTemplate: fc.boolean(),
    isRunning: fc.boolean(),
    lock: fc.constantFrom(undefined, 'create'),
    imageSha256: fc.constant(undefined),
    diskBytes: fc.nat(),
    isSettled: fc.boolean(),
  })
  fc.assert(
    fc.property(vm, fc.boolean(), (seen, has) => {
      const next = nextOfBuild({ vm: seen, image: has, seed: has, leftovers: 1 }, wanted)
      assert.ok(['another build', 'another template', 'somebody else', 'locked'].includes(next), next)
      if (isUnfinishedBuild(seen)) assert.ok(isBuildName(seen.name) && seen.tags.includes(TEMPLATE_TAG))
    }),
  )
})

test('a VM that went off before it said that it is installed does not become a template, whatever ended it', () => {
  const ask = (change: Partial<SeenVm>) => nextOfBuild(changed({ vm: fresh, image: true, seed: true, leftovers: 2 }, { diskBytes: 12, ...change }), wanted)
  assert.equal(ask({ tags: [TEMPLATE_TAG, INSTALLING_TAG] }), 'not installed')
  assert.equal(ask({ tags: [TEMPLATE_TAG, INSTALLING_TAG], isSettled: true }), 'not installed')
  assert.equal(ask({ tags: [TEMPLATE_TAG, INSTALLING_TAG, INSTALLED_TAG] }), 'settle')
  assert.equal(ask({ tags: [TEMPLATE_TAG, INSTALLED_TAG] }), 'start', 'a tag alone, of which nobody knows whence it came, is none')
})

test('what is in the way is told apart', () => {
  const other = 'autovibe-template-0123456789ab'
  const ask = (change: Partial<SeenVm>) => nextOfBuild(changed({ vm: fresh, image: true, seed: true, leftovers: 0 }, change), wanted)
  assert.equal(ask({ name: other }), 'another build')
  assert.equal(ask({ name: other, isTemplate: true }), 'another template')
  assert.equal(ask({ name: other, tags: [] }), 'somebody else')
  assert.equal(ask({ name: undefined, tags: [], lock: 'create' }), 'locked')
  assert.equal(ask({ name: 'mail', lock: 'backup' }), 'somebody else')
})

test('a lock is in the way of an unfinished one, and of a finished template never', () => {
  const template = { isTemplate: true, isSettled: true, lock: 'backup' }
  const ask = (change: Partial<SeenVm>, leftovers = 0) => nextOfBuild(changed({ vm: fresh, image: true, seed: true, leftovers }, change), wanted)
  assert.equal(ask(template), 'done')
  assert.equal(ask(template, 1), 'locked')
  assert.equal(ask({ ...template, tags: [TEMPLATE_TAG, INSTALLING_TAG] }), 'locked')
  assert.equal(ask({ lock: 'backup' }), 'locked')
})

test('a finished template is never taken away, and one that is still marked can be', () => {
  const template = { ...fresh, isTemplate: true }
  assert.ok(!isUnfinishedBuild(template) && isFinishedTemplate(template))
  assert.ok(isUnfinishedBuild({ ...template, tags: [TEMPLATE_TAG, INSTALLING_TAG] }))
  assert.ok(!isUnfinishedBuild({ ...fresh, name: 'mail' }))
})

test('a file is a build’s only by its whole name, on that storage and of that number', () => {
  for (const volid of [`local:import/${names.image}`, `local:iso/${names.seed}`]) assert.ok(isBuildFile(volid, 'local', 9000), volid)
  for (const volid of [
    `other:import/${names.image}`,
    `local:iso/${names.image}`,
    `local:import/x${names.image}`,
    'local:iso/ubuntu.iso',
    `local:iso/${names.seed}.iso`,
  ])
    assert.ok(!isBuildFile(volid, 'local', 9000), volid)
  assert.ok(!isBuildFile(`local:iso/${names.seed}`, 'local', 900))
  assert.ok(isBuildName(names.vm) && !isBuildName('autovibe-template') && names.vm.length < 64)
})

test('the notes of a VM tell the sum of its image, and those of others none', () => {
  assert.equal(sumOfNotes(buildNotes('https://images.example.com/noble.img', SUM)), SUM)
  for (const notes of [undefined, '', 'mail of the house (sha256 abc)']) assert.equal(sumOfNotes(notes), undefined)
})
