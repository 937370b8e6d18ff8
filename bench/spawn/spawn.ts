/** Spawn, checkpoint, fork and rollback: of the substrate alone and through the API of a real Hub, beside what the host needs for a bare process and a bare sandbox. */
import { join } from 'node:path'
import { SANDBOX_FLAGS } from '../../packages/hub/substrates/local/sandbox.ts'
import { timed } from '../support/command.ts'
import { temporaryFolder } from '../support/place.ts'
import { type BenchOptions, type Figure, figure, type Measured, targetBelow } from '../support/report.ts'
import { sideBySide } from '../support/side-by-side.ts'
import { openStage, type Stage } from '../support/stage.ts'
import { type Birth, destroy, forkOnce, spawnOnce } from './births.ts'
import { checkpointOnce, rollbackOnce } from './checkpoints.ts'
import { measureDensity } from './density.ts'
import { measureSubstrate } from './substrate.ts'

const AT_ONCE = 8
/** The first spawns of a Hub fill caches that every later one finds; they are reported apart. */
const WARM_UP = 2

const NODE = ['-e', '0'] as const
const SANDBOX = [...SANDBOX_FLAGS, '--ro-bind', '/', '/', '--proc', '/proc', '--dev', '/dev', process.execPath, ...NODE]
const bareNode = async () => (await timed(process.execPath, NODE)).ms
const bareSandbox = async () => (await timed('bwrap', SANDBOX)).ms

export async function measure(options: BenchOptions): Promise<Measured> {
  const substrate = await measureSubstrate({ ...options, bare: bareSandbox })
  const hub = await measureHub(options)
  const density = await measureDensity(options.quick, options.progress)
  return {
    figures: [...substrate.figures, ...hub.figures, ...density.figures],
    targets: [...substrate.targets, ...hub.targets, ...density.targets],
    notes: [
      'Substrate: the local substrate alone in this process, with the real agent; from the call that makes the machine until its agent has spoken at its door. A fork is that call alone.',
      'Files have 1 KiB, 14 in a folder. A machine that waits was booted before the clock starts.',
      ...(hub.notes ?? []),
      'The memory of a machine is the proportional set size of all its processes; the machines have ended a run and keep their agents.',
    ],
  }
}

async function measureHub({ quick, progress }: BenchOptions): Promise<Measured> {
  await using stage = await openStage()
  const { tier } = await stage.client.hub.info()
  progress('spawns, one after another')
  const first: Birth[] = []
  for (let time = 0; time < WARM_UP; time++) first.push(await spawnOnce(stage, true))
  const nodes: number[] = []
  const { ours: births, bare } = await sideBySide(
    quick ? 15 : 50,
    () => spawnOnce(stage, true),
    async () => {
      nodes.push(await bareNode())
      return bareSandbox()
    },
  )
  const node = figure('bare node -e 0', nodes)
  const sandbox = figure('bare bwrap … node -e 0, beside the spawns', bare, { beside: node })

  progress(`${AT_ONCE} spawns at once`)
  const { ours: crowds, bare: bareCrowds } = await sideBySide(
    quick ? 1 : 4,
    () => atOnce(() => spawnOnce(stage, true)),
    async () => {
      const startedAt = performance.now()
      return atOnce(async () => (await bareSandbox(), performance.now() - startedAt))
    },
  )
  const crowd = figure(`bare bwrap … node -e 0, ${AT_ONCE} at once`, bareCrowds.flat(), { beside: sandbox })
  const spawned = figure('spawn: request to registered', births.map(registered), { beside: sandbox })
  return {
    figures: [
      node,
      sandbox,
      figure('spawn: request to registered, the first two of a Hub', first.map(registered), { beside: sandbox }),
      spawned,
      figure(
        'spawn: operation created to registered',
        births.map(({ fromCreatedMs }) => fromCreatedMs),
        { beside: sandbox },
      ),
      ...stepFigures(births),
      crowd,
      figure(`spawn: request to registered, ${AT_ONCE} at once`, crowds.flat().map(registered), { beside: crowd }),
      ...(await restorableFigures(stage, quick ? 6 : 20, progress)),
    ],
    targets: [targetBelow(spawned.name, spawned, 150)],
    notes: [
      `Machines: ${tier.substrate} ${tier.isolation} ${tier.copy}. Request: from the client's send of POST /v1/runs until the time in the event machine.registered (one clock, to 1 ms).`,
      'Spawns run one after another unless said otherwise: each machine has ended its run and is destroyed before the next is asked for.',
      'Each sample has one of its baseline right after it, so that both meet the same load from other work.',
      'A step is counted from the end of the step before, so the steps of an operation add up. The checkpointed tree does not change between checkpoints.',
    ],
  }
}

const registered = ({ registeredMs }: Birth): number => registeredMs

const atOnce = <T>(one: () => Promise<T>): Promise<T[]> => Promise.all(Array.from({ length: AT_ONCE }, one))

function stepFigures(births: readonly Birth[]): Figure[] {
  const names = births[0]?.steps.map(({ name }) => name) ?? []
  return names.map((name, index) =>
    figure(
      `spawn: step ${index + 1}, ${name}`,
      births.flatMap(({ steps }) => steps[index]?.ms ?? []),
    ),
  )
}

async function restorableFigures(stage: Stage, count: number, progress: (text: string) => void): Promise<Figure[]> {
  await using folder = await temporaryFolder()
  const { machineId } = await spawnOnce(stage, false)
  progress('checkpoints')
  let copies = 0
  const copy = async () => (await timed('cp', ['-a', stage.projectPath, join(folder.path, String(copies++))])).ms
  const taken = await sideBySide(count, () => checkpointOnce(stage, machineId), copy)
  const checkpointId = taken.ours.at(-1)?.checkpointId
  if (!checkpointId) throw new Error('no checkpoint was taken')
  progress('forks')
  const forks = await sideBySide(count, () => forkOnce(stage, checkpointId), bareSandbox)
  progress('rollbacks')
  const rollbacks = await sideBySide(count, () => rollbackOnce(stage, machineId, checkpointId), bareSandbox)
  await destroy(stage, machineId)

  const copied = figure('bare cp -a of the same project', taken.bare)
  const besideForks = figure('bare bwrap … node -e 0, beside the forks', forks.bare)
  const besideRollbacks = figure('bare bwrap … node -e 0, beside the rollbacks', rollbacks.bare)
  const checkpoint = (what: 'frozenMs' | 'resumedMs' | 'verifiedMs') => taken.ours.map((each) => each[what])
  return [
    copied,
    figure('checkpoint: request to frozen', checkpoint('frozenMs'), { beside: copied }),
    figure('checkpoint: request to the machine going on', checkpoint('resumedMs'), { beside: copied }),
    figure('checkpoint: request to verified', checkpoint('verifiedMs'), { beside: copied }),
    besideForks,
    figure('fork: request to registered', forks.ours.map(registered), { beside: besideForks }),
    figure(
      'fork: request to ready',
      forks.ours.map(({ endedMs }) => endedMs),
      { beside: besideForks },
    ),
    besideRollbacks,
    figure('rollback: request to ready', rollbacks.ours, { beside: besideRollbacks }),
  ]
}
