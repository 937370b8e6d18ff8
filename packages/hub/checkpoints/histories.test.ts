/** Any history of edits, checkpoints, rollbacks, forks and deletions, in real machines and the real store, against a plain model of the tree. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { CheckpointId, MachineId } from '@autovibe/contract'
import fc from 'fast-check'
import { seeds } from '../../../test/support/seeds.ts'
import { systemRuntime } from '../runtime.ts'
import { ConformanceStage, EMPTY } from '../substrates/conformance-stage.ts'
import { accountAfter } from '../substrates/conformance-tree.ts'
import { TestGround } from '../substrates/local/test-ground.ts'
import { reasonAgainst } from '../substrates/local/test-tiers.ts'
import { openFolderStore } from './create-checkpoint-store.ts'
import { drillRestore } from './drill.ts'
import { openScratch, type Scratch } from './scratch.ts'
import type { CheckpointStore, ProjectStore } from './store.ts'
import { folderChanges } from './testing/folder-changes.ts'
import { never, SECRETS } from './testing/place.ts'
import { type Edit, edit, edits, TreeModel } from './testing/tree-model.ts'

const SEEDS = seeds(3)
const ACTIONS_MAX = 22
const EDITS_MIN = 3
const EDITS_MAX = 12
const MACHINES_MAX = 3

type Action =
  | { readonly does: 'edit'; readonly machine: number; readonly edits: readonly Edit[] }
  | { readonly does: 'checkpoint'; readonly machine: number }
  | { readonly does: 'roll back'; readonly machine: number; readonly to: number }
  | { readonly does: 'fork'; readonly from: number }
  | { readonly does: 'forget'; readonly which: number }
  | { readonly does: 'collect' }

const which = fc.nat(1000)
const actions: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ does: fc.constant('edit' as const), machine: which, edits: fc.array(edits, { minLength: EDITS_MIN, maxLength: EDITS_MAX }) }),
  },
  { weight: 6, arbitrary: fc.record({ does: fc.constant('checkpoint' as const), machine: which }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('roll back' as const), machine: which, to: which }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('fork' as const), from: which }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('forget' as const), which }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('collect' as const) }) },
)

interface Kept {
  readonly id: CheckpointId
  readonly handle: string
  readonly manifestSha256: string
  readonly model: TreeModel
}

interface Living {
  readonly id: MachineId
  model: TreeModel
  head: Kept | null
}

class History {
  readonly #stage: ConformanceStage
  readonly #project: ProjectStore
  readonly #machines: Living[] = []
  #kept: Kept[] = []
  readonly counts = { edits: 0, checkpoints: 0, rollbacks: 0, forks: 0, forgotten: 0 }

  constructor(stage: ConformanceStage, project: ProjectStore) {
    this.#stage = stage
    this.#project = project
  }

  async begin(): Promise<void> {
    const id = await this.#stage.running()
    const model = new TreeModel()
    for (const [path, line] of await this.#stage.look(id))
      model.nodes.set(path, { type: 'directory', mode: Number.parseInt(line.replace('directory ', ''), 8) })
    assert.deepEqual([...model.nodes.keys()].sort(), ['home', 'project'])
    this.#machines.push({ id, model, head: null })
  }

  async act(action: Action): Promise<void> {
    if (action.does === 'edit') return await this.#edit(some(this.#machines, action.machine), action.edits)
    if (action.does === 'checkpoint') return await this.#checkpoint(some(this.#machines, action.machine))
    if (action.does === 'collect') return void (await this.#project.collect(never))
    if (this.#kept.length === 0) return
    if (action.does === 'roll back') return await this.#rollBack(some(this.#machines, action.machine), some(this.#kept, action.to))
    if (action.does === 'fork') return await this.#fork(some(this.#kept, action.from))
    await this.#forget(some(this.#kept, action.which))
  }

  async #edit(machine: Living, wanted: readonly Edit[]): Promise<void> {
    const scripts = wanted.map((each) => edit(machine.model, each)).filter((script) => script !== null)
    this.counts.edits += scripts.length
    if (scripts.length > 0) await this.#stage.script(machine.id, ['umask 022', ...scripts].join('\n'))
    assert.deepEqual(sorted(await this.#stage.look(machine.id)), sorted(machine.model.account()), 'the machine has what the model has')
  }

  async #checkpoint(machine: Living): Promise<void> {
    const id = this.#stage.newCheckpoint()
    const { handle, consistency } = await this.#stage.substrate.snapshot(machine.id, id, never)
    assert.equal(consistency, 'consistent')
    const { head } = machine
    const parent = head === null ? null : { checkpointId: head.id, manifestSha256: head.manifestSha256 }
    const changes = this.#stage.substrate.changes(handle, head?.handle ?? null, never)
    const { manifestSha256, files } = await this.#project.capture({ checkpointId: id, parent, changes }, never)
    const kept = { id, handle, manifestSha256, model: machine.model.copy() }
    assert.deepEqual(await this.#project.verify(manifestSha256, head?.manifestSha256 ?? null, never), { ok: true, damaged: [] })
    assert.deepEqual(await this.#accountOf(manifestSha256), sorted(kept.model.account()), 'the manifest has what the model has')
    assert.equal(files, [...kept.model.nodes.values()].filter(({ type }) => type === 'file').length)
    if (head !== null) await this.#compare(head, kept)
    this.#kept.push(kept)
    machine.head = kept
    machine.model.stretch++
    this.counts.checkpoints++
  }

  /** Whatever the models tell apart, the store does too. */
  async #compare(before: Kept, after: Kept): Promise<void> {
    const told = new Set<string>()
    for await (const pair of this.#project.difference(before.manifestSha256, after.manifestSha256)) told.add((pair.after ?? pair.before)?.path ?? '')
    const [was, is] = [before.model.account(), after.model.account()]
    for (const path of new Set([...was.keys(), ...is.keys()])) if (was.get(path) !== is.get(path)) assert.ok(told.has(path), `${path} differs`)
  }

  async #rollBack(machine: Living, to: Kept): Promise<void> {
    await this.#stage.substrate.rollback(machine.id, to.handle, never)
    await this.#stage.substrate.start(machine.id, never)
    await this.#standsAt(machine, to)
    this.counts.rollbacks++
  }

  async #fork(from: Kept): Promise<void> {
    if (this.#machines.length >= MACHINES_MAX) await this.#destroy(this.#machines.shift())
    const machine = { id: await this.#stage.running(from.handle), model: from.model, head: from }
    this.#machines.push(machine)
    await this.#standsAt(machine, from)
    this.counts.forks++
  }

  async #standsAt(machine: Living, at: Kept): Promise<void> {
    machine.model = at.model.copy()
    machine.head = at
    assert.deepEqual(sorted(await this.#stage.look(machine.id)), sorted(machine.model.account()), 'the machine has the tree of the checkpoint')
  }

  /** Only what no machine stands at: the next checkpoint builds on that. */
  async #forget(kept: Kept): Promise<void> {
    if (this.#machines.some(({ head }) => head?.id === kept.id)) return
    await this.#project.forget(kept.id)
    await this.#stage.substrate.dropSnapshot(kept.handle, never)
    this.#kept = this.#kept.filter((each) => each !== kept)
    this.counts.forgotten++
  }

  async #accountOf(manifestSha256: string): Promise<Map<string, string>> {
    const account = new Map<string, string>()
    for await (const { path, type, mode, sha256, link_target } of this.#project.entries(manifestSha256))
      account.set(
        path,
        type === 'symlink' ? `symlink ${link_target}` : type === 'directory' ? `directory ${mode.toString(8)}` : `file ${mode.toString(8)} ${sha256}`,
      )
    return sorted(account)
  }

  /** Each checkpoint that is kept is still all there, and can be restored. */
  async judge(folder: (name: string) => string, scratch: Scratch): Promise<void> {
    await this.#project.collect(never)
    await this.#project.collect(never)
    for (const { id, manifestSha256, model } of this.#kept) {
      assert.deepEqual(await this.#project.verify(manifestSha256, null, never), { ok: true, damaged: [] }, id)
      assert.deepEqual(await this.#accountOf(manifestSha256), sorted(model.account()))
      const target = folder(id)
      await this.#restore(manifestSha256, target, model)
      assert.deepEqual((await drillRestore(this.#project, manifestSha256, scratch, never)).differences, [])
    }
  }

  async #restore(manifestSha256: string, target: string, model: TreeModel): Promise<void> {
    await mkdir(target)
    await this.#project.restore(manifestSha256, target, never)
    assert.deepEqual(sorted((await accountAfter(EMPTY, folderChanges(target))).account), sorted(model.account()))
    await rm(target, { recursive: true })
  }

  async end(): Promise<void> {
    for (const machine of this.#machines) await this.#destroy(machine)
    for (const { handle } of this.#kept) await this.#stage.substrate.dropSnapshot(handle, never)
  }

  async #destroy(machine: Living | undefined): Promise<void> {
    if (machine !== undefined) await this.#stage.substrate.destroy(machine.id, never)
  }
}

const isolation = process.getuid?.() === 0 ? 'I3' : 'I2'
for (const copy of ['C3', 'C1'] as const) {
  const missing = await reasonAgainst({ isolation, copy })
  describe(`local ${isolation}+${copy}`, { skip: missing ?? false }, () => {
    const stage = new ConformanceStage()
    let base: string
    let store: CheckpointStore
    let scratch: Scratch
    before(async () => {
      base = await mkdtemp(join(tmpdir(), 'av-histories-'))
      store = await openFolderStore(base, SECRETS)
      scratch = await openScratch(join(base, 'scratch'))
      await stage.open(await TestGround.make({ isolation, copy }))
    })
    after(async () => {
      await stage.close()
      await rm(base, { recursive: true })
    })

    test('after any history every checkpoint holds what the tree was, and gives it back', async (t) => {
      t.diagnostic(`npm run soak -- histories --from ${SEEDS.first} --seeds ${SEEDS.count}`)
      const property = fc.asyncProperty(fc.array(actions, { minLength: ACTIONS_MAX, maxLength: ACTIONS_MAX }), async (all) => {
        const history = new History(stage, store.of(systemRuntime.newId('project')))
        try {
          await history.begin()
          for (const action of all) await history.act(action)
          await history.judge((name) => join(base, name), scratch)
        } finally {
          await history.end()
        }
        t.diagnostic(JSON.stringify(history.counts))
      })
      // Whoever gives a seed looks for the reason: only then the time to find a shorter history is spent.
      await fc.assert(property, { seed: SEEDS.first, numRuns: SEEDS.count, endOnFailure: !SEEDS.isAsked })
    })
  })
}

function some<T>(all: readonly T[], index: number): T {
  const one = all[index % all.length]
  assert.ok(one !== undefined)
  return one
}

const sorted = (account: ReadonlyMap<string, string>): Map<string, string> => new Map([...account].sort(([a], [b]) => (a < b ? -1 : 1)))
