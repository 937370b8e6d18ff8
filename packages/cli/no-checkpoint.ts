/** What is said of a machine without a verified checkpoint, and what leads to one: that depends on what the machine does. */
import { AutovibeError, type Machine } from '@autovibe/contract'

/** `wasTried` when there are checkpoints, only none that is verified: before the first one there is nothing to see but the project as it was imported. */
export function noCheckpoint({ name, state }: Pick<Machine, 'name' | 'state'>, wasTried: boolean): AutovibeError {
  return new AutovibeError('checkpoint.not_verified', `The machine ${name} has no verified checkpoint yet.`, { fix: leadsToOne(name, state, wasTried) })
}

function leadsToOne(name: string, state: Machine['state'], wasTried: boolean): string {
  if (state === 'destroyed') return 'autovibe ps lists the machines that live.'
  // Where the agent does not run, nobody can be asked for one.
  if (state === 'stopped' || state === 'failed') return `autovibe machine start ${name}`
  if (state === 'ready' && !wasTried) return `autovibe run "PROMPT" --machine ${name} --budget 2.00`
  return `autovibe checkpoint create ${name}`
}
