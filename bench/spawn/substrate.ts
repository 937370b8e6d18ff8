/** What the local substrate needs for a machine, without the Hub around it: spawn cold and from one that waits, fork, rollback, for small and large projects. */
import type { SnapshotHandle } from '../../packages/hub/substrates/substrate.ts'
import { temporaryFolder } from '../support/place.ts'
import { type Figure, figure, type Target, targetBelow } from '../support/report.ts'
import { type Born, SpawnGround } from './ground.ts'

const AT_ONCE = 20
const FULL = { files: [5_000, 100_000], samples: 40, crowds: 3 }
const QUICK = { files: [5_000], samples: 10, crowds: 1 }
/** The first spawns fill caches that every later one finds. */
const WARM_UP = 3
const GOALS_MS = { cold: 60, warm: 20, fork: 10, rollback: 80 }

export interface SubstrateMeasured {
  readonly figures: readonly Figure[]
  readonly targets: readonly Target[]
}

export interface SubstrateOptions {
  readonly quick: boolean
  readonly progress: (text: string) => void
  /** Takes one sample of what the host needs for a bare sandbox with Node in it, in ms. */
  readonly bare: () => Promise<number>
}

/** All figures for each size of project, each beside a bare sandbox that met the same load. */
export async function measureSubstrate(options: SubstrateOptions): Promise<SubstrateMeasured> {
  const { files } = options.quick ? QUICK : FULL
  const sizes: SubstrateMeasured[] = []
  for (const count of files) {
    await using folder = await temporaryFolder()
    options.progress(`a project of ${count} files`)
    sizes.push(await measureSize(folder.path, count, options))
  }
  return { figures: sizes.flatMap(({ figures }) => figures), targets: sizes.flatMap(({ targets }) => targets) }
}

async function measureSize(dataDir: string, files: number, { quick, progress, bare }: SubstrateOptions): Promise<SubstrateMeasured> {
  const { samples, crowds } = quick ? QUICK : FULL
  const named = (what: string) => `substrate, ${files} files: ${what}`
  const cold: Born[] = []
  const bares: number[] = []
  const rollbacks: number[] = []
  const coldCrowd: number[] = []
  const project = await within(dataDir, 0, async (ground) => {
    const made = await ground.project(files)
    for (let time = 0; time < WARM_UP; time++) await ground.destroy((await ground.spawn(made)).machineId)
    progress(`${files} files: cold`)
    for (let time = 0; time < samples; time++) {
      cold.push(await brief(ground, made))
      bares.push(await bare())
    }
    for (let time = 0; time < crowds; time++) coldCrowd.push(...(await crowd(ground, made)))
    return made
  })
  const warm: Born[] = []
  await within(dataDir, 1, async (ground) => {
    progress(`${files} files: from machines that wait`)
    for (let time = 0; time < samples; time++) {
      await ground.warm(1)
      warm.push(await brief(ground, project))
    }
    progress(`${files} files: rollbacks`)
    const { machineId } = await ground.spawn(project)
    for (let time = 0; time < samples; time++) {
      await ground.warm(1)
      rollbacks.push(await ground.rollback(machineId, project))
    }
    await ground.destroy(machineId)
  })
  const warmCrowd: number[] = []
  await within(dataDir, AT_ONCE, async (ground) => {
    progress(`${files} files: ${AT_ONCE} at once`)
    for (let time = 0; time < crowds; time++) {
      await ground.warm(AT_ONCE)
      warmCrowd.push(...(await crowd(ground, project)))
    }
  })

  const beside = figure(named('bare bwrap … node -e 0'), bares)
  const spawned = figure(named('spawn to registered, cold'), cold.map(registered), { beside })
  const waited = figure(named('spawn to registered, one waits'), warm.map(registered), { beside })
  const fork = figure(
    named('fork (the new machine, not yet started)'),
    [...cold, ...warm].map(({ createMs }) => createMs),
  )
  const rollback = figure(named('rollback to registered again'), rollbacks, { beside })
  return {
    figures: [
      beside,
      spawned,
      waited,
      figure(named(`spawn to registered, cold, ${AT_ONCE} at once`), coldCrowd, { beside }),
      figure(named(`spawn to registered, ${AT_ONCE} wait, ${AT_ONCE} at once`), warmCrowd, { beside }),
      fork,
      rollback,
    ],
    targets: [
      targetBelow(spawned.name, spawned, GOALS_MS.cold),
      targetBelow(waited.name, waited, GOALS_MS.warm),
      targetBelow(fork.name, fork, GOALS_MS.fork),
      targetBelow(rollback.name, rollback, GOALS_MS.rollback),
    ],
  }
}

const registered = ({ registeredMs }: Born): number => registeredMs

async function within<T>(dataDir: string, warmMost: number, work: (ground: SpawnGround) => Promise<T>): Promise<T> {
  await using ground = await SpawnGround.open(dataDir, warmMost)
  return await work(ground)
}

/** One machine, spawned and destroyed again. */
async function brief(ground: SpawnGround, from: SnapshotHandle): Promise<Born> {
  const born = await ground.spawn(from)
  await ground.destroy(born.machineId)
  return born
}

async function crowd(ground: SpawnGround, from: SnapshotHandle): Promise<number[]> {
  const born = await Promise.all(Array.from({ length: AT_ONCE }, () => ground.spawn(from)))
  for (const { machineId } of born) await ground.destroy(machineId)
  return born.map(registered)
}
