import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { chooseNode, type NodeFacts, type Promised, placeableBytes } from './placement.ts'

const GIB = 1024 ** 3
const node = (name: string, more: Partial<NodeFacts> = {}): NodeFacts => ({
  name,
  online: true,
  inMaintenance: false,
  cores: 8,
  load: 0,
  memoryBytes: 64 * GIB,
  freeMemoryBytes: 60 * GIB,
  freeDiskBytes: 500 * GIB,
  hasSource: true,
  ...more,
})
const wish = { memoryBytes: 4 * GIB, cores: 2, diskBytes: 20 * GIB, group: 'prj' }
const promise = (name: string, more: Partial<Promised> = {}): Promised => ({
  node: name,
  group: null,
  memoryBytes: 4 * GIB,
  cores: 2,
  isPending: true,
  ...more,
})

test('the emptiest node gets the machine, and the next spawn another', () => {
  const nodes = [node('pve1', { freeMemoryBytes: 30 * GIB }), node('pve2'), node('pve3', { load: 0.9 })]
  assert.deepEqual(chooseNode(nodes, [], wish), { node: 'pve2' })
  assert.deepEqual(chooseNode([node('pve1'), node('pve2')], [promise('pve1')], wish), { node: 'pve2' })
})

test('ten spawns at once are spread over the nodes', () => {
  const nodes = [node('pve1'), node('pve2'), node('pve3')]
  const promised: Promised[] = []
  for (let spawn = 0; spawn < 10; spawn++) {
    const placed = chooseNode(nodes, promised, { ...wish, group: null })
    assert.ok('node' in placed)
    promised.push(promise(placed.node))
  }
  const counts = nodes.map(({ name }) => promised.filter(({ node }) => node === name).length)
  assert.deepEqual(counts.sort(), [3, 3, 4])
})

test('idle machines that have not taken their memory yet count with all of it', () => {
  const idle = Array.from({ length: 15 }, () => promise('pve1', { isPending: false }))
  assert.ok('refused' in chooseNode([node('pve1')], idle, wish))
  assert.deepEqual(chooseNode([node('pve1')], idle.slice(1), { ...wish, group: null }), { node: 'pve1' })
})

test('machines of one project stand apart, even where it is fuller', () => {
  const nodes = [node('pve1'), node('pve2', { freeMemoryBytes: 10 * GIB })]
  assert.deepEqual(chooseNode(nodes, [promise('pve1', { group: 'prj', isPending: false })], wish), { node: 'pve2' })
})

test('a refusal tells of each node why not', () => {
  const nodes = [
    node('a', { online: false }),
    node('b', { inMaintenance: true }),
    node('c', { hasSource: false }),
    node('d', { cores: 1 }),
    node('e', { freeMemoryBytes: 2 * GIB }),
    node('f', { freeDiskBytes: GIB }),
  ]
  assert.deepEqual(chooseNode(nodes, [], wish), {
    refused:
      'a: offline; b: in maintenance; c: it cannot be cloned there; d: it has 1 cores; e: 1024 MiB of memory are free, 4096 are wanted; f: 1024 MiB of disk are free, 20480 are wanted',
  })
  assert.deepEqual(chooseNode([], [], wish), { refused: 'there is no node' })
})

const facts = fc.record({
  name: fc.constantFrom('a', 'b', 'c', 'd'),
  online: fc.boolean(),
  inMaintenance: fc.boolean(),
  cores: fc.integer({ min: 1, max: 64 }),
  load: fc.double({ min: 0, max: 1, noNaN: true }),
  memoryBytes: fc.integer({ min: GIB, max: 64 * GIB }),
  freeMemoryBytes: fc.integer({ min: 0, max: 64 * GIB }),
  freeDiskBytes: fc.option(fc.integer({ min: 0, max: 100 * GIB })),
  hasSource: fc.boolean(),
})
const promises = fc.array(
  fc.record({
    node: fc.constantFrom('a', 'b', 'c', 'd'),
    group: fc.option(fc.constantFrom('prj', 'other')),
    memoryBytes: fc.integer({ min: 0, max: 8 * GIB }),
    cores: fc.integer({ min: 1, max: 4 }),
    isPending: fc.boolean(),
  }),
)

test('whatever the nodes say, none is chosen on which it does not fit, and one is whenever it fits somewhere', () => {
  fc.assert(
    fc.property(fc.uniqueArray(facts, { selector: ({ name }) => name }), promises, (nodes, promised) => {
      const fits = nodes.filter((each) => {
        const pending = promised.filter((one) => one.node === each.name && one.isPending).reduce((sum, { memoryBytes }) => sum + memoryBytes, 0)
        const all = promised.filter((one) => one.node === each.name).reduce((sum, { memoryBytes }) => sum + memoryBytes, 0)
        const hasMemory = Math.min(each.freeMemoryBytes - pending, each.memoryBytes - all) - GIB >= wish.memoryBytes
        const hasRoom = hasMemory && (each.freeDiskBytes ?? wish.diskBytes) >= wish.diskBytes
        return each.online && !each.inMaintenance && each.hasSource && each.cores >= wish.cores && hasRoom
      })
      const placed = chooseNode(nodes, promised, wish)
      if ('node' in placed) assert.ok(fits.some(({ name }) => name === placed.node))
      else assert.deepEqual(fits, [])
    }),
  )
})

test('what can be placed on an empty node is placed there, with what its VM takes beside', () => {
  const empty = node('pve1', { freeMemoryBytes: 64 * GIB })
  const most = placeableBytes(empty.memoryBytes)
  assert.deepEqual(chooseNode([empty], [], { ...wish, memoryBytes: most + 256 * 1024 ** 2 }), { node: 'pve1' })
  assert.ok('refused' in chooseNode([empty], [], { ...wish, memoryBytes: most + 257 * 1024 ** 2 }))
})
