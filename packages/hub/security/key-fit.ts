/** Whether the master key is the one that a data directory was sealed under: looked at before a start changes anything, and told by `up` and `doctor`. */
import { AutovibeError, type Finding } from '@autovibe/contract'
import type { Database } from '../database/database.ts'
import type { MasterKeys } from './master-key.ts'
import { GATE_KEY_CONTEXT, projectKeyContext, providerKeyContext, type Secrets, substrateTokenContext } from './secrets.ts'

export interface KeyFit {
  readonly readable: number
  /** What each of those is that no known key opens. */
  readonly unreadable: readonly string[]
}

/** What the start of a Hub came to. */
export interface SettledKeys {
  readonly resealed: number
  /** A key came with the one before it, or a rotation that was cut off was finished. */
  readonly wasRotated: boolean
  /** Keys of projects' checkpoints that no known key opens; in a shared store those of other Hubs as well. */
  readonly unreadableInStore: number
}

/** So many are named, the rest counted. */
const NAMED_MAX = 5

/** Tries every secret that lasts; answers that are kept for a repeat are gone in a day and say nothing. */
export async function fitOfKeys(db: Database, secrets: Secrets): Promise<KeyFit> {
  const [providers, own, substrates, gates] = await Promise.all([
    db.selectFrom('providers').select(['name', 'key_sealed']).orderBy('name').execute(),
    db.selectFrom('project_provider_keys').select(['project_id', 'provider', 'origin', 'key_sealed']).orderBy('project_id').orderBy('provider').execute(),
    db.selectFrom('substrates').select(['name', 'token_sealed']).orderBy('name').execute(),
    db.selectFrom('gate').select('key_sealed').execute(),
  ])
  const lasting = [
    ...providers.map(({ name, key_sealed }) => ({ what: `the key of the provider ${name}`, sealed: key_sealed, context: providerKeyContext(name) })),
    ...own.map(({ project_id, provider, origin, key_sealed }) => ({
      what: `the key of ${project_id} for ${provider}`,
      sealed: key_sealed,
      context: projectKeyContext(project_id, provider, origin),
    })),
    ...substrates.map(({ name, token_sealed }) => ({ what: `the token of the substrate ${name}`, sealed: token_sealed, context: substrateTokenContext(name) })),
    ...gates.map(({ key_sealed }) => ({ what: 'the key of the gate for machines', sealed: key_sealed, context: GATE_KEY_CONTEXT })),
  ]
  let readable = 0
  const unreadable: string[] = []
  for (const { what, sealed, context } of lasting) {
    if (sealed === null) continue
    if (opens(secrets, sealed, context)) readable++
    else unreadable.push(what)
  }
  return { readable, unreadable }
}

/** Refuses (`hub.master_key`) a key that opens nothing of what is there: a Hub that went on would work for nobody, and hide what is wrong. */
export function assertKeyFits({ readable, unreadable }: KeyFit, { isOwnFile }: Pick<MasterKeys, 'isOwnFile'>): void {
  if (readable > 0 || unreadable.length === 0) return
  throw new AutovibeError('hub.master_key', 'The master key is not the one that this data directory was sealed under.', {
    internal: `no known key opens ${listed(unreadable)}`,
    fix: isOwnFile
      ? 'Set AUTOVIBE_MASTER_KEY or AUTOVIBE_MASTER_KEY_FILE again, or bring master.key back from a backup. If that key is lost, begin anew: autovibe up --data-dir DIR'
      : 'Set AUTOVIBE_MASTER_KEY to the key of before; to go over to a new one, also set AUTOVIBE_MASTER_KEY_PREVIOUS (or export AUTOVIBE_MASTER_KEY_PREVIOUS_FILE=DATA_DIRECTORY/master.key)',
  })
}

/** What a person must know of the keys of the Hub that runs; nothing as a rule. `ofCheckpoints` counts keys of projects' checkpoints that no known key opens. */
export function keyFindings({ unreadable }: Pick<KeyFit, 'unreadable'>, ofCheckpoints: number): Finding[] {
  if (unreadable.length + ofCheckpoints === 0) return []
  const projects = ofCheckpoints === 0 ? [] : [`the keys to the checkpoints of ${ofCheckpoints} ${ofCheckpoints === 1 ? 'project' : 'projects'}`]
  return [
    {
      area: 'hub',
      name: 'master key',
      status: 'warning',
      detail: `The master key does not open ${[...projects, listed(unreadable)].filter((part) => part !== '').join(', ')}.`,
      fix: 'autovibe down, then autovibe up with the key of before as AUTOVIBE_MASTER_KEY_PREVIOUS; if it is lost, set what can be set again: autovibe provider set NAME',
    },
  ]
}

/** That the start of this Hub was a rotation, for whoever waits for that; empty as a rule. */
export function rotationFindings({ resealed, wasRotated }: Pick<SettledKeys, 'resealed' | 'wasRotated'>): Finding[] {
  if (!wasRotated) return []
  const detail = `The master key was rotated: ${resealed} ${resealed === 1 ? 'secret' : 'secrets'} sealed again.`
  return [
    {
      area: 'hub',
      name: 'master key',
      status: 'ok',
      detail: resealed > 0 ? detail : 'The master key is the new one: nothing was left to seal again.',
      fix: null,
    },
  ]
}

function listed(names: readonly string[]): string {
  const more = names.length - NAMED_MAX
  return [...names.slice(0, NAMED_MAX), ...(more > 0 ? [`${more} more`] : [])].join(', ')
}

function opens(secrets: Secrets, sealed: Buffer, context: string): boolean {
  try {
    secrets.open(sealed, context)
    return true
  } catch {
    return false // that is the answer
  }
}
