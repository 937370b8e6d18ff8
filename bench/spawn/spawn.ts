/** Spawn, checkpoint, fork and rollback through the API of a real Hub, beside what the host needs for a bare process and a bare sandbox. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SANDBOX_FLAGS } from '../../packages/hub/substrates/local/sandbox.ts'
import { repeated, timed } from '../support/command.ts'
import { type BenchOptions, type Figure, figure, type Measured, targetBelow } from '../support/report.ts'
import { openStage, type Stage } from '../support/stage.ts'
import { type Birth, destroy, forkOnce, spawnOnce } from './births.ts'
import { checkpointOnce, rollbackOnce, type Taken } from './checkpoints.ts'

const AT_ONCE = 8
/** The first spawns of a Hub fill caches that every later one finds; they are reported apart. */
const WARM_UP = 2

export async function measure({ quick, progress }: BenchOptions): Promise<Measured> {
  progress('a bare node and a bare sandbox')
  const bare = await bareFigures(quick ? 10 : 30)
  await using stage = await openStage()
  const { tier } = await stage.client.hub.info()

  const first: Birth[] = []
  for (let time = 0; time < WARM_UP; time++) first.push(await spawnOnce(stage, true))
  const births: Birth[] = []
  for (let time = 0; time < (quick ? 15 : 50); time++) {
    if (time % 10 === 0) progress(`spawn ${time + 1}`)
    births.push(await spawnOnce(stage, true))
  }
  const crowd: Birth[] = []
  for (let round = 0; round < (quick ? 1 : 4); round++) {
    progress(`${AT_ONCE} spawns at once (${round + 1})`)
    crowd.push(...(await Promise.all(Array.from({ length: AT_ONCE }, () => spawnOnce(stage, true)))))
  }
  const spawned = figure('spawn: request to registered', times(births, 'registeredMs'), { beside: bare.sandbox })
  return {
    figures: [
      ...bare.all,
      figure('spawn: request to registered, the first two of a Hub', times(first, 'registeredMs'), { beside: bare.sandbox }),
      spawned,
      figure('spawn: operation created to registered', times(births, 'fromCreatedMs'), { beside: bare.sandbox }),
      ...stepFigures('spawn', births),
      figure(`spawn: request to registered, ${AT_ONCE} at once`, times(crowd, 'registeredMs'), { beside: bare.crowd }),
      ...(await restorableFigures(stage, bare, quick, progress)),
    ],
    targets: [targetBelow(spawned.name, spawned, 150)],
    notes: [
      `Machines: ${tier.substrate} ${tier.isolation} ${tier.copy}. Request: from the client's send of POST /v1/runs until the time in the event machine.registered (one clock, to 1 ms).`,
      'Spawns run one after another unless said otherwise: each machine has ended its run and is destroyed before the next is asked for.',
      'A step is counted from the end of the step before, so the steps of an operation add up. The checkpointed tree does not change between checkpoints.',
    ],
  }
}

const times = (births: readonly Birth[], what: 'registeredMs' | 'fromCreatedMs'): number[] => births.map((birth) => birth[what])

interface BareFigures {
  readonly sandbox: Figure
  readonly crowd: Figure
  readonly all: readonly Figure[]
}

async function bareFigures(count: number): Promise<BareFigures> {
  const node = [process.execPath, '-e', '0'] as const
  const sandboxed = [...SANDBOX_FLAGS, '--ro-bind', '/', '/', '--proc', '/proc', '--dev', '/dev', ...node]
  const bareNode = figure('bare node -e 0', await repeated(count, node[0], node.slice(1)))
  const sandbox = figure('bare bwrap … node -e 0', await repeated(count, 'bwrap', sandboxed), { beside: bareNode })
  const together: number[] = []
  for (let round = 0; round < Math.ceil(count / 10); round++) {
    const startedAt = performance.now()
    await Promise.all(Array.from({ length: AT_ONCE }, () => timed('bwrap', sandboxed).then(() => together.push(performance.now() - startedAt))))
  }
  const crowd = figure(`bare bwrap … node -e 0, ${AT_ONCE} at once`, together, { beside: sandbox })
  return { sandbox, crowd, all: [bareNode, sandbox, crowd] }
}

function stepFigures(what: string, births: readonly Birth[]): Figure[] {
  const names = births[0]?.steps.map(({ name }) => name) ?? []
  return names.map((name, index) =>
    figure(
      `${what}: step ${index + 1}, ${name}`,
      births.flatMap(({ steps }) => steps[index]?.ms ?? []),
    ),
  )
}

async function restorableFigures(stage: Stage, bare: BareFigures, quick: boolean, progress: (text: string) => void): Promise<Figure[]> {
  const count = quick ? 6 : 20
  const { machineId } = await spawnOnce(stage, false)
  progress('checkpoints')
  const taken: Taken[] = []
  for (let time = 0; time < count; time++) taken.push(await checkpointOnce(stage, machineId))
  const copied = figure('bare cp -a of the same project', await copies(stage.projectPath, count))
  const checkpointId = taken.at(-1)?.checkpointId
  if (!checkpointId) throw new Error('no checkpoint was taken')
  progress('forks')
  const forks: Birth[] = []
  for (let time = 0; time < count; time++) forks.push(await forkOnce(stage, checkpointId))
  progress('rollbacks')
  const rollbacks: number[] = []
  for (let time = 0; time < count; time++) rollbacks.push(await rollbackOnce(stage, machineId, checkpointId))
  await destroy(stage, machineId)
  const pick = (what: 'frozenMs' | 'resumedMs' | 'verifiedMs') => taken.map((each) => each[what])
  return [
    copied,
    figure('checkpoint: request to frozen', pick('frozenMs'), { beside: copied }),
    figure('checkpoint: request to the machine going on', pick('resumedMs'), { beside: copied }),
    figure('checkpoint: request to verified', pick('verifiedMs'), { beside: copied }),
    figure('fork: request to registered', times(forks, 'registeredMs'), { beside: bare.sandbox }),
    figure(
      'fork: request to ready',
      forks.map(({ endedMs }) => endedMs),
      { beside: bare.sandbox },
    ),
    figure('rollback: request to ready', rollbacks, { beside: bare.sandbox }),
  ]
}

async function copies(from: string, count: number): Promise<number[]> {
  const folder = await mkdtemp(join(tmpdir(), 'avb-'))
  try {
    const samples: number[] = []
    for (let time = 0; time < count; time++) samples.push((await timed('cp', ['-a', from, join(folder, String(time))])).ms)
    return samples
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
