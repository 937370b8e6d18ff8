/** Finds what a person means by a name, an id, or nothing at all. */
import { AutovibeError, type Checkpoint, isId, type Machine, type Run } from '@autovibe/contract'
import type { Autovibe, CallOptions } from '@autovibe/sdk'

/** A run by its id, the last run of a machine, or the newest run of all. */
export async function resolveRun(client: Autovibe, ref: string | undefined, options: CallOptions): Promise<Run> {
  if (ref !== undefined && isId('run', ref)) return client.runs.get(ref, options)
  if (ref !== undefined && isId('checkpoint', ref)) {
    const { run_id, id } = await client.checkpoints.get(ref, options)
    if (run_id === null) throw new AutovibeError('not_found', `The checkpoint ${id} belongs to no run.`, { fix: 'autovibe ps' })
    return client.runs.get(run_id, options)
  }
  if (ref !== undefined) {
    const machine = await resolveMachine(client, ref, options)
    const runId = machine.run_id ?? (await client.runs.list({ machine: machine.id }, options).take(1))[0]?.id
    if (runId === undefined)
      throw new AutovibeError('not_found', `The machine ${machine.name} has had no run yet.`, {
        fix: `autovibe run "PROMPT" --machine ${machine.name} --budget 2.00`,
      })
    return client.runs.get(runId, options)
  }
  const [newest] = await client.runs.list({}, options).take(1)
  if (!newest) throw new AutovibeError('not_found', 'There has been no run yet.', { fix: 'autovibe run "PROMPT" --project PATH --budget 2.00' })
  return newest
}

/** By name or id; names of destroyed machines are free for others, so those are found by id alone. */
export async function resolveMachine(client: Autovibe, ref: string, options: CallOptions): Promise<Machine> {
  return client.machines.get(ref, options).catch((thrown: unknown) => {
    if (thrown instanceof AutovibeError && (thrown.code === 'not_found' || thrown.code === 'request.invalid')) {
      throw new AutovibeError('not_found', `There is no machine ${JSON.stringify(ref)}.`, { cause: thrown, fix: 'autovibe ps' })
    }
    throw thrown
  })
}

/** A checkpoint by its id, or the newest verified one of a run or machine (of the newest run, without a word). */
export async function resolveCheckpoint(client: Autovibe, ref: string | undefined, options: CallOptions): Promise<Checkpoint> {
  if (ref !== undefined && isId('checkpoint', ref)) return client.checkpoints.get(ref, options)
  if (ref === undefined || isId('run', ref)) {
    const run = await resolveRun(client, ref, options)
    if (run.checkpoint_id !== null) return client.checkpoints.get(run.checkpoint_id, options)
    return newestVerified(client, { id: run.machine_id, name: run.machine_name, parent_checkpoint_id: null }, options)
  }
  return newestVerified(client, await resolveMachine(client, ref, options), options)
}

async function newestVerified(client: Autovibe, machine: Pick<Machine, 'id' | 'name' | 'parent_checkpoint_id'>, options: CallOptions): Promise<Checkpoint> {
  let newest: Checkpoint | undefined
  for await (const checkpoint of client.checkpoints.list({ machine: machine.id }, options)) {
    if (checkpoint.state === 'verified' && (newest === undefined || checkpoint.id > newest.id)) newest = checkpoint
  }
  if (newest) return newest
  // A fork that has not worked yet is what it was forked from.
  if (machine.parent_checkpoint_id !== null) return client.checkpoints.get(machine.parent_checkpoint_id, options)
  throw new AutovibeError('checkpoint.not_verified', `The machine ${machine.name} has no verified checkpoint yet.`, {
    fix: `autovibe checkpoint create ${machine.name}`,
  })
}
