/** Finds what a person means by a name, an id, or nothing at all. */
import { AutovibeError, type Checkpoint, isId, type Machine, type Run } from '@autovibe/contract'
import type { Autovibe, CallOptions } from '@autovibe/sdk'
import { noCheckpoint } from './no-checkpoint.ts'
import { plain, truncate } from './render/text.ts'
import { wholeId } from './short-ids.ts'

/** A run by its id, the last run of a machine, or without a word one that goes on; else the last one of a machine that is still there; else the newest of all. */
export async function resolveRun(client: Autovibe, given: string | undefined, options: CallOptions): Promise<Run> {
  const ref = given === undefined ? undefined : await wholeId(client, given, options)
  if (ref !== undefined && isId('run', ref)) return client.runs.get(ref, options)
  if (ref !== undefined && isId('checkpoint', ref)) {
    const { run_id, id } = await client.checkpoints.get(ref, options)
    if (run_id === null) throw new AutovibeError('not_found', `The checkpoint ${id} belongs to no run.`, { fix: 'autovibe ps' })
    return client.runs.get(run_id, options)
  }
  if (ref !== undefined) {
    const machine = await resolveMachine(client, ref, options)
    const run = await lastRun(client, machine, options)
    if (run !== undefined) return run
    throw new AutovibeError('not_found', `The machine ${machine.name} has had no run yet.`, {
      fix: `autovibe run "PROMPT" --machine ${machine.name} --budget 2.00`,
    })
  }
  return (await openRun(client, options)) ?? newestRun(client, options)
}

/** So many destroyed machines are known by name, the newest ones. */
const REMEMBERED = 1000

/** By name or id; names of destroyed machines are free for others, so those are found by id alone. `instead` is what to do when it is destroyed. */
export async function resolveMachine(client: Autovibe, given: string, options: CallOptions, instead?: string): Promise<Machine> {
  const ref = await wholeId(client, given, options)
  try {
    return await client.machines.get(ref, options)
  } catch (thrown) {
    if (!(thrown instanceof AutovibeError) || (thrown.code !== 'not_found' && thrown.code !== 'request.invalid')) throw thrown
    const gone = (await client.machines.list({ state: 'destroyed', limit: REMEMBERED }, options).take(REMEMBERED)).find(({ name }) => name === ref)
    if (gone) throw destroyed(gone, 'not_found', instead)
    throw new AutovibeError('not_found', `There is no machine ${JSON.stringify(ref)}.`, { cause: thrown, fix: 'autovibe ps --all' })
  }
}

/** What is said of a destroyed machine: it leads to what is left of it. */
export const destroyed = ({ id, name }: Machine, code: 'not_found' | 'conflict.state', fix = `autovibe checkpoint list ${id}`): AutovibeError =>
  new AutovibeError(code, `The machine ${name} was destroyed; its checkpoints are kept.`, { fix })

export interface Resolved {
  readonly checkpoint: Checkpoint
  /** What was chosen, for a person who has not named it; null for one who has. */
  readonly chosen: string | null
}

/**
 * A checkpoint by its id; where a machine stands, or what a destroyed one's last run left; what a run left. Without a word, the newest run of a machine that is still
 * there, else the newest of all.
 */
export async function resolveCheckpoint(client: Autovibe, given: string | undefined, options: CallOptions): Promise<Resolved> {
  const ref = given === undefined ? undefined : await wholeId(client, given, options)
  if (ref !== undefined && isId('checkpoint', ref)) return { checkpoint: await client.checkpoints.get(ref, options), chosen: null }
  if (ref !== undefined && isId('run', ref)) return { checkpoint: await leftBy(client, await client.runs.get(ref, options), options), chosen: null }
  if (ref !== undefined) {
    const machine = await resolveMachine(client, ref, options)
    if (machine.destroyed_at === null) return { checkpoint: await standing(client, machine, options), chosen: null }
    const run = await lastRun(client, machine, options)
    const checkpoint = run ? await leftBy(client, run, options) : await standing(client, machine, options)
    return { checkpoint, chosen: `${machine.name} was destroyed; this is ${run ? 'what its last run left' : 'where it stood'}: ${checkpoint.id}` }
  }
  const run = await newestRun(client, options)
  const machine = await client.machines.get(run.machine_id, options)
  const lives = machine.destroyed_at === null
  const checkpoint = lives ? await standing(client, machine, options) : await leftBy(client, run, options)
  const what = truncate(plain(run.prompt), 60)
  return { checkpoint, chosen: `${machine.name} (${what}), ${lives ? 'as it stands' : 'destroyed since, as its run left it'}: ${checkpoint.id}` }
}

/** The newest verified checkpoint that a run itself has made: what was made of its machine after its end, a rollback for instance, is not its doing. */
export function resultOf(run: Run, checkpoints: readonly Checkpoint[]): Checkpoint | undefined {
  const verified = checkpoints.filter(({ state }) => state === 'verified').sort((a, b) => (a.id < b.id ? 1 : -1))
  return verified.find(({ created_at }) => run.ended_at === null || created_at <= run.ended_at) ?? verified[0]
}

async function leftBy(client: Autovibe, run: Run, options: CallOptions): Promise<Checkpoint> {
  const result = resultOf(run, await client.checkpoints.list({ run: run.id }, options).take(10_000))
  if (result) return result
  return standing(client, await client.machines.get(run.machine_id, options), options)
}

/** More machines than these do not live at once. */
const LIVING = 1000

/** So far back from a machine's head a verified checkpoint is looked for; all others there failed, or are being verified just now. */
const UNVERIFIED = 100

/** The newest verified checkpoint of the line that the machine stands on: after a rollback that is the one gone back to, not the newest of all. */
async function standing(client: Autovibe, machine: Machine, options: CallOptions): Promise<Checkpoint> {
  let id = machine.head_checkpoint_id
  for (let looked = 0; id !== null && looked < UNVERIFIED; looked++) {
    const checkpoint: Checkpoint = await client.checkpoints.get(id, options)
    if (checkpoint.state === 'verified') return checkpoint
    id = checkpoint.parent_id
  }
  const tried = await client.checkpoints.list({ machine: machine.id }, options).take(1)
  throw noCheckpoint(machine, tried.length > 0)
}

/** The one at work on it, or else the newest; undefined where there was none. */
export async function lastRun(client: Autovibe, machine: Machine, options: CallOptions): Promise<Run | undefined> {
  if (machine.run_id !== null) return client.runs.get(machine.run_id, options)
  const [last] = await client.runs.list({ machine: machine.id }, options).take(1)
  return last
}

/** The newest run that has not ended. */
async function openRun(client: Autovibe, options: CallOptions): Promise<Run | undefined> {
  const newest = await Promise.all((['running', 'queued', 'paused'] as const).map((state) => client.runs.list({ state }, options).take(1)))
  return newest.flat().sort(newestFirst)[0]
}

async function newestRun(client: Autovibe, options: CallOptions): Promise<Run> {
  const living = await client.machines.list({}, options).take(LIVING)
  const [ofLiving] = living.flatMap(({ run_id }) => run_id ?? []).sort((a, b) => (a < b ? 1 : -1))
  if (ofLiving !== undefined) return client.runs.get(ofLiving, options)
  const [newest] = await client.runs.list({}, options).take(1)
  if (newest) return newest
  throw new AutovibeError('not_found', 'There has been no run yet.', { fix: 'autovibe run "PROMPT" --project PATH --budget 2.00' })
}

/** Ids are time-ordered. */
const newestFirst = (a: { readonly id: string }, b: { readonly id: string }): number => (a.id < b.id ? 1 : -1)
