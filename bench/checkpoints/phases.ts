/** All phases of one tree: each contender does the same work on it, one after the other, in an order that turns from sample to sample. */
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { timed } from '../support/command.ts'
import { COMMAND_TIMEOUT_MS, type Contender, type Place, type Taken } from './contender.ts'
import type { OurStore } from './our-store.ts'
import { Samples } from './samples.ts'
import { spaceOf } from './space.ts'
import { changeTree, type TreeShape, writeTree } from './tree.ts'

export const PHASES = ['first', '1 % changed', 'nothing changed', '1 % changed, the whole tree given', 'restore', 'verify'] as const
export type Phase = (typeof PHASES)[number]
export const memoryOf = (phase: Phase): string => `peak memory, ${phase}`

/** Who is measured: `others` keep up with what ours is given. */
export interface Contenders {
  readonly others: readonly Contender[]
  readonly ours: OurStore
}

export interface PhasesOptions {
  /** Empty; all that is made lies in it. */
  readonly folder: string
  readonly shape: TreeShape
  readonly counts: Readonly<Record<Phase, number>>
  /** Opens everyone with new stores in this folder. */
  readonly open: (place: Place) => Promise<Contenders>
  readonly progress: (text: string) => void
}

export async function measurePhases({ folder, shape, counts, open, progress }: PhasesOptions): Promise<Samples> {
  const samples = new Samples(shape.name, ['restic', 'git', 'ours'])
  const tree = join(folder, 'tree')
  await mkdir(tree)
  progress(`${shape.name}: a tree of ${shape.files} files`)
  await writeTree(tree, shape)
  const run = { samples, progress: (text: string) => progress(`${shape.name}: ${text}`) }

  for (let time = 1; time < counts.first; time++) {
    const stores = join(folder, 'first')
    await mkdir(stores)
    const { others, ours } = await open({ tree, folder: stores })
    using _ours = ours
    await phase(run, 'first', 1, [...others, ours], (each) => each.capture(null))
    await rm(stores, { recursive: true })
  }
  const stores = join(folder, 'stores')
  await mkdir(stores)
  const { others, ours } = await open({ tree, folder: stores })
  using _ours = ours
  const all = [...others, ours]
  await phase(run, 'first', 1, all, (each) => each.capture(null))
  noteSpace(samples, 'first', all)

  let changed: readonly string[] = []
  let rounds = 0
  const change = async () => {
    if (rounds === 1) noteSpace(samples, '1 % changed', all)
    changed = await changeTree(tree, shape, rounds++)
  }
  await phase(run, '1 % changed', counts['1 % changed'], all, (each) => each.capture(changed), change)
  await phase(run, 'nothing changed', counts['nothing changed'], all, (each) => each.capture([]))
  const whole = '1 % changed, the whole tree given'
  // The others scan the tree anyway: for them this is one more change.
  for (let time = 0; time < counts[whole]; time++) {
    await change()
    await phase(run, whole, 1, [ours], () => ours.captureWhole())
    await phase(run, '1 % changed', 1, others, (each) => each.capture(changed))
  }

  // Nothing is removed in between: ext4 passes over inodes that were freed a moment ago, one by one, which whoever makes files next would pay for.
  const restored = join(folder, 'restored')
  let restores = 0
  await phase(run, 'restore', counts.restore, all, async (each) => {
    const to = join(restored, String(restores++))
    await mkdir(to, { recursive: true })
    await settle()
    const taken = await each.restore(to)
    await timed('diff', ['--recursive', '--brief', tree, to], { timeoutMs: COMMAND_TIMEOUT_MS })
    return taken
  })
  await rm(restored, { recursive: true })
  await phase(run, 'verify', counts.verify, all, (each) => each.verify())
  for (const { ms } of ours.openings) samples.add('store opened', 'ms', ours.name, ms)
  return samples
}

interface Run {
  readonly samples: Samples
  readonly progress: (text: string) => void
}

/** Each contender so many times; `ready` comes before each time. */
async function phase(
  { samples, progress }: Run,
  name: Phase,
  times: number,
  contenders: readonly Contender[],
  work: (each: Contender) => Promise<Taken>,
  ready: () => Promise<void> = async () => undefined,
): Promise<void> {
  for (const each of contenders) await each.begin()
  for (let time = 0; time < times; time++) {
    await ready()
    for (let turn = 0; turn < contenders.length; turn++) {
      const each = contenders[(turn + time) % contenders.length]
      if (each === undefined) continue
      progress(`${name}, ${each.name}`)
      await settle()
      const { ms, peakMiB } = await work(each)
      samples.add(name, 'ms', each.name, ms)
      samples.most(memoryOf(name), 'MiB', each.name, peakMiB)
    }
  }
}

/** What others left to be written shall not be waited for by who comes next. */
const settle = (): Promise<unknown> => timed('sync', [], { timeoutMs: COMMAND_TIMEOUT_MS })

function noteSpace(samples: Samples, after: 'first' | '1 % changed', contenders: readonly Contender[]): void {
  for (const { name, storeFolder } of contenders) {
    const { bytesMiB, onDiskMiB } = spaceOf(storeFolder)
    samples.add(`space after ${after}`, 'MiB', name, bytesMiB)
    samples.add(`disk blocks after ${after}`, 'MiB', name, onDiskMiB)
  }
}
