/** The pause of an agent, and our checkpoint store beside restic and git: the same trees and the same changes, in one run. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryFolder } from '../support/place.ts'
import { type BenchOptions, type Figure, figure, type Measured, type Target, targetAtMostTimes, targetBelow } from '../support/report.ts'
import type { Contender, Place } from './contender.ts'
import { openGit } from './git.ts'
import { openOurs } from './our-store.ts'
import { measurePause } from './pause.ts'
import { type Contenders, measurePhases, memoryOf, PHASES, type Phase } from './phases.ts'
import { openRestic } from './restic.ts'
import type { Samples } from './samples.ts'
import type { TreeShape } from './tree.ts'

interface Part {
  readonly shape: TreeShape
  readonly counts: Readonly<Record<Phase, number>>
  /** A change of one in a hundred files is durable within so many ms. */
  readonly changedBelowMs?: number
}

const counts = (first: number, changed: number, nothing: number, whole: number, restore: number, verify: number): Part['counts'] => ({
  first,
  '1 % changed': changed,
  'nothing changed': nothing,
  '1 % changed, the whole tree given': whole,
  restore,
  verify,
})
const FULL: readonly Part[] = [
  { shape: { name: 'small', files: 5_000, bytes: 100e6, largeFiles: 10 }, counts: counts(2, 7, 7, 3, 3, 3) },
  { shape: { name: 'large', files: 100_000, bytes: 1e9, largeFiles: 20 }, counts: counts(1, 5, 5, 1, 1, 1), changedBelowMs: 400 },
]
const QUICK: readonly Part[] = [{ shape: { name: 'quick', files: 2_500, bytes: 20e6, largeFiles: 4 }, counts: counts(1, 3, 2, 1, 1, 1) }]

const SPACE_AT_MOST_TIMES = 1.05
const MEMORY_BELOW_MIB = 300

export async function measure(options: BenchOptions): Promise<Measured> {
  const pause = await measurePause(options)
  const store = await measureStore(options)
  return {
    figures: [...pause.figures, ...store.figures],
    targets: [...pause.targets, ...store.targets],
    notes: [...(pause.notes ?? []), ...(store.notes ?? [])],
  }
}

async function measureStore({ quick, progress }: BenchOptions): Promise<Measured> {
  const notes = new Set<string>()
  const open = async ({ tree, folder }: Place): Promise<Contenders> => {
    const place = async (name: string): Promise<Place> => {
      const own = join(folder, name)
      await mkdir(own)
      return { tree, folder: own }
    }
    const others: Contender[] = []
    for (const [name, openIt] of [['restic', openRestic] as const, ['git', openGit] as const]) {
      try {
        const other = await openIt(await place(name))
        others.push(other)
        notes.add(`Beside ours: ${other.version}.`)
      } catch (error) {
        notes.add(`${name} was left out: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
    return { others, ours: await openOurs(await place('ours')) }
  }

  const figures: Figure[] = []
  const targets: Target[] = []
  for (const part of quick ? QUICK : FULL) {
    await using folder = await temporaryFolder()
    const samples = await measurePhases({ folder: folder.path, ...part, open, progress })
    figures.push(...samples.figures())
    targets.push(...targetsOf(samples, part))
  }
  return {
    figures,
    targets,
    notes: [
      ...notes,
      'A change rewrites one in a hundred files with other lines in the middle, one of them a file of 3 MiB; a few are deleted and others added.',
      'restic (encrypted, ours does: repository version 2, default compression) and git (add --all, write-tree, commit-tree, update-ref; no gc; not encrypted) scan the tree for what changed. Ours is given the paths that changed, as a machine’s overlay gives them, and looks at each; "the whole tree given" is ours without that: it reads and hashes every file.',
      'restic and git are timed from the start of their command to its end (restic derives its key each time); ours in a process of its own that has its store open, as the Hub does: "store opened" is what opening takes. Ours and restic sync what they store; git does not sync loose objects by default.',
      'Restored trees are compared with the original, which is not timed. Verify reads everything that was kept: restic check --read-data, git fsck --full, ours each state against the one before.',
      'Before each sample what was left to be written is synced; all is in the page cache. Space is the sum of the files’ sizes; disk blocks count what small files waste.',
      'Peak memory is VmHWM, of ours in a new process for each phase and with Node in it; of the commands the highest that was seen, looked at each 5 ms.',
    ],
  }
}

function targetsOf(samples: Samples, { shape, changedBelowMs }: Part): Target[] {
  const ours = (what: string): Figure => {
    const found = samples.figure(what, 'ours')
    if (found === null) throw new Error(`ours was not measured: ${what}`)
    return found
  }
  const besideRestic = (what: string, times: number): Target =>
    targetAtMostTimes(`${shape.name}: ${what}, ours against restic`, ours(what), samples.figure(what, 'restic'), times)
  const peaks = PHASES.map((phase) => ours(memoryOf(phase)).max)
  const changed = ours('1 % changed')
  return [
    ...(changedBelowMs === undefined ? [] : [targetBelow(`${shape.name}: 1 % changed and durable`, changed, changedBelowMs)]),
    besideRestic('restore', 1),
    besideRestic('space after first', SPACE_AT_MOST_TIMES),
    besideRestic('space after 1 % changed', SPACE_AT_MOST_TIMES),
    targetBelow(`${shape.name}: peak memory of ours in any phase`, figure('peak', [Math.max(...peaks)], { unit: 'MiB' }), MEMORY_BELOW_MIB),
  ]
}
