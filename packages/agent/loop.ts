/** The life of a machine's agent after it registered: follow the Hub's wishes, bring in the source, execute runs, be quiet when asked. */
import { constants } from 'node:os'
import process from 'node:process'
import type { Instructions } from '@autovibe/contract'
import type { Paths, RunOrder } from './adapters/adapter.ts'
import { adapterOf } from './adapters/registry.ts'
import { Door } from './door/door.ts'
import { EventQueue } from './door/event-queue.ts'
import { Heart } from './door/heart.ts'
import type { DoorWire } from './door/wire.ts'
import { Wishes } from './door/wishes.ts'
import { WayOut } from './egress/way-out.ts'
import { followExecs } from './exec/follow.ts'
import { log, wordsOf } from './log.ts'
import { killAllFamilies } from './process/family.ts'
import { markSourceKept, prepareSource } from './project/source.ts'
import { executeRun } from './run/run.ts'
import { StateReports } from './run/state-reports.ts'
import { clip } from './run/text.ts'

export interface Machine {
  readonly wire: DoorWire
  readonly bootId: string
  readonly machineId: string
  readonly heartbeatMs: number
  readonly token: string
  readonly paths: Paths
}

/** Never returns: the substrate ends the process. */
export async function live(machine: Machine, signal: AbortSignal = new AbortController().signal): Promise<void> {
  const door = new Door(machine.wire, machine.bootId)
  const wishes = new Wishes(door)
  const events = new EventQueue(door)
  const heart = new Heart(door)
  signal.addEventListener('abort', () => {
    events.stop()
    heart.stop()
  })
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => end(128 + constants.signals[name]))
  heart.start(machine.heartbeatMs)
  void wishes.follow(signal)
  const wayOut = new WayOut({ socketPath: machine.paths.socket, token: machine.token })
  void wayOut.follow(wishes, signal)
  void followExecs(wishes, machine, signal)

  let endedRun: RunOrder['id'] | undefined
  for (let revision = 0; ; ) {
    const document = await wishes.newerThan(revision, signal)
    const { run } = document
    await wayOut.learn(document)
    // Loaded while git works.
    if (run) adapterOf(run.agent).catch((error: unknown) => log('the agent was not loaded', { agent: run.agent, reason: wordsOf(error) }))
    const source = await bringSource(door, document, machine, signal)
    if (run && run.id !== endedRun && (document.control === 'go' || document.control === 'cancel')) {
      await heart.endQuiet()
      await startRun(run, source, { door, wishes, events, heart, machine })
      endedRun = run.id
      continue
    }
    revision = document.revision
    // Nothing runs, so nothing writes: quiet is true as soon as it is asked for.
    if (document.control === 'quiesce' || document.control === 'park') await heart.sayQuiet()
    else await heart.endQuiet()
  }
}

/** What the agent started ends with it; its state is in the tree and at the Hub. */
function end(exitCode: number): never {
  killAllFamilies()
  process.exit(exitCode)
}

interface Room {
  readonly door: Door
  readonly wishes: Wishes
  readonly events: EventQueue
  readonly heart: Heart
  readonly machine: Machine
}

type SourceState = { readonly startPending: boolean; readonly failure: string | null }

async function startRun(run: RunOrder, source: SourceState, room: Room): Promise<void> {
  const { door, wishes, events, heart, machine } = room
  if (source.failure !== null) {
    const reports = new StateReports(door, run.id, (document) => wishes.offer(document))
    return reports.final({ state: 'failed', reason: clip(source.failure, 2000), summary: null, check_result: null, agent_reported_cost: null })
  }
  await executeRun(await adapterOf(run.agent), run, {
    door,
    wishes,
    events,
    heart,
    paths: machine.paths,
    token: machine.token,
    startPending: source.startPending,
    startKept: () => markSourceKept(machine.paths),
  })
}

async function bringSource(door: Door, document: Instructions, machine: Machine, signal: AbortSignal): Promise<SourceState> {
  if (!document.source) return { startPending: false, failure: null }
  try {
    return { startPending: await prepareSource(door, document.source, machine.paths, machine.machineId, signal), failure: null }
  } catch (error) {
    signal.throwIfAborted()
    log('the source was not brought in', { reason: wordsOf(error) })
    return { startPending: false, failure: wordsOf(error) }
  }
}
