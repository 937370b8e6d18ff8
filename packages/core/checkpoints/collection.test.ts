/** Writers, collectors and a store made of values alone, in every order that fast-check finds: nothing that is kept may ever be gone. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { planCollection, type SegmentAction, type SegmentState } from './collection.ts'

interface Model {
  readonly segments: Map<string, Set<number>>
  readonly condemned: Map<string, readonly string[] | null>
  readonly intents: Set<string>
  /** What each name keeps. */
  readonly refs: Map<string, readonly number[]>
}

interface Writer {
  readonly intent: string
  readonly objects: readonly number[]
  /** As it saw them when it began. */
  readonly seen: ReadonlySet<string>
  stage: 'begun' | 'stored'
}

const PLAIN = 100

/** The objects that are needed of each segment, as a collector that looks now finds them. */
function neededIn({ segments, condemned, refs }: Model): Map<string, number[]> {
  const needed = new Set([...refs.values()].flat())
  const placed = new Set<number>()
  const found = new Map<string, number[]>()
  for (const [id, objects] of segments) {
    if (condemned.has(id)) continue
    found.set(
      id,
      [...objects].filter((object) => needed.has(object)),
    )
    for (const object of objects) placed.add(object)
  }
  for (const [id, objects] of segments)
    if (condemned.has(id))
      found.set(
        id,
        [...objects].filter((object) => needed.has(object) && !placed.has(object)),
      )
  return found
}

function statesOf(model: Model, needed: ReadonlyMap<string, readonly number[]>): SegmentState[] {
  return [...model.segments].map(([id, objects]) => ({
    id,
    plainBytes: objects.size * PLAIN,
    neededBytes: (needed.get(id)?.length ?? 0) * PLAIN,
    damaged: false,
    condemned: model.condemned.has(id) ? { intents: model.condemned.get(id) ?? null } : null,
  }))
}

const step = fc.oneof(
  fc.record({ do: fc.constant('begin' as const), objects: fc.uniqueArray(fc.nat(9), { minLength: 1, maxLength: 4 }) }),
  fc.record({ do: fc.constant('store' as const), writer: fc.nat(5) }),
  fc.record({ do: fc.constant('keep' as const), writer: fc.nat(5) }),
  fc.record({ do: fc.constant('die' as const), writer: fc.nat(5) }),
  fc.record({ do: fc.constant('forget' as const), ref: fc.nat(9) }),
  /** A look decides at once and acts later, one action at a time: others come in between. */
  fc.record({ do: fc.constant('look' as const), collector: fc.nat(1) }),
  fc.record({ do: fc.constant('act' as const), collector: fc.nat(1), times: fc.integer({ min: 1, max: 4 }) }),
)

test('whatever order writers and two collectors act in, what is kept is there', () => {
  let deletions = 0
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
      const model: Model = { segments: new Map(), condemned: new Map(), intents: new Set(), refs: new Map() }
      const writers: Writer[] = []
      const plans: { action: SegmentAction; needed: readonly number[] }[][] = [[], []]
      let made = 0
      for (const one of steps) {
        if (one.do === 'begin') {
          const intent = `i${made++}`
          model.intents.add(intent)
          writers.push({ intent, objects: one.objects, seen: new Set(model.condemned.keys()), stage: 'begun' })
        } else if (one.do === 'store') {
          const writer = writers[one.writer % Math.max(1, writers.length)]
          if (writer?.stage !== 'begun') continue
          const there = new Set([...model.segments].filter(([id]) => !writer.seen.has(id)).flatMap(([, objects]) => [...objects]))
          const missing = writer.objects.filter((object) => !there.has(object))
          if (missing.length > 0) model.segments.set(`s${made++}`, new Set(missing))
          writer.stage = 'stored'
        } else if (one.do === 'keep' || one.do === 'die') {
          const writer = writers[one.writer % Math.max(1, writers.length)]
          if (writer === undefined || (one.do === 'keep' && writer.stage !== 'stored')) continue
          if (one.do === 'keep') model.refs.set(`r${made++}`, writer.objects)
          // Of one that dies, somebody clears the intent away sooner or later.
          model.intents.delete(writer.intent)
          writers.splice(writers.indexOf(writer), 1)
        } else if (one.do === 'forget') model.refs.delete([...model.refs.keys()][one.ref % Math.max(1, model.refs.size)] ?? '')
        else if (one.do === 'look') {
          const needed = neededIn(model)
          plans[one.collector] = planCollection(statesOf(model, needed), model.intents)
            .filter(({ kind }) => kind !== 'keep' && kind !== 'wait')
            .map((action) => ({ action, needed: needed.get(action.id) ?? [] }))
        } else
          for (let time = 0; time < one.times; time++) {
            const { action, needed } = plans[one.collector]?.shift() ?? {}
            if (action === undefined || needed === undefined || !model.segments.has(action.id)) continue
            if (action.kind === 'note') model.condemned.set(action.id, action.intents)
            else if (action.kind === 'delete') {
              model.segments.delete(action.id)
              deletions++
            } else {
              if (action.kind === 'move') model.segments.set(`s${made++}`, new Set(needed))
              if (!model.condemned.has(action.id)) model.condemned.set(action.id, null)
            }
          }
        const there = new Set([...model.segments.values()].flatMap((objects) => [...objects]))
        for (const [ref, objects] of model.refs) for (const object of objects) assert.ok(there.has(object), `${ref} needs ${object}`)
      }
    }),
    { numRuns: 3_000 },
  )
  // Otherwise nothing was tried.
  assert.ok(deletions > 100, String(deletions))
})
