/** What may be said of a substrate, and what may be done to one, each with its refusal. */
import { AutovibeError, type FieldError, type ProxmoxConfig, type ProxmoxDoor, type Substrate, splitEndpoint } from '@autovibe/contract'
import { networkProblems } from '@autovibe/core/proxmox/addresses.ts'
import type { Tx } from '../database/database.ts'

/** Machines that a refusal names. */
const NAMED = 5

/** `request.invalid` for what fits its schema and cannot be meant. */
export function assertConfig(config: ProxmoxConfig): void {
  const errors = [...configErrors(config)]
  const [first] = errors
  if (first === undefined) return
  throw new AutovibeError('request.invalid', `The substrate cannot be like that: ${first.message}.`, { errors, fix: 'autovibe substrate add --help' })
}

function* configErrors({ doors, templates, vmids, network, gate, nodes }: ProxmoxConfig): Iterable<FieldError> {
  if (new Set(doors.map(originOf)).size < doors.length) yield { path: 'body.doors', message: 'a door is named twice' }
  if (nodes !== null && new Set(nodes).size < nodes.length) yield { path: 'body.nodes', message: 'a node is named twice' }
  for (const { vmid } of templates) {
    // Whoever clears up the range of machines must never meet a template in it.
    if (vmid >= vmids.from && vmid <= vmids.to) yield { path: 'body.templates', message: `the template ${vmid} is among the numbers of machines` }
  }
  if (new Set(templates.map(({ node }) => node)).size < templates.length) yield { path: 'body.templates', message: 'a node has two templates' }
  if (templates.length > 1 && templates.some(({ node }) => node === null))
    yield { path: 'body.templates', message: 'with several templates, each needs its node: VMID@NODE' }
  if (network.kind === 'static')
    for (const message of networkProblems(network, vmids, [splitEndpoint(gate.advertised)?.host ?? ''])) yield { path: 'body.network', message }
}

const originOf = ({ url }: ProxmoxDoor): string => new URL(url).origin

export const etagOf = (substrate: Substrate): string => `"${substrate.version}"`

/** The version that the client saw; `*` stands for whichever there is. */
export function assertVersion(header: string | undefined, substrate: Substrate): void {
  if (substrate.proxmox === null) throw new AutovibeError('conflict.state', 'This host has no settings here.', { fix: 'autovibe up --help' })
  if (header === undefined)
    throw new AutovibeError('request.precondition_required', 'Changing a substrate asks for If-Match, so that two people do not overwrite each other.', {
      fix: `Send "If-Match: ${etagOf(substrate)}", the ETag of GET /v1/substrates/${substrate.name}.`,
    })
  if (header.trim() === '*' || header.trim() === etagOf(substrate)) return
  throw new AutovibeError('request.precondition_failed', `The substrate has changed: it is at ${etagOf(substrate)} now.`, {
    fix: `GET /v1/substrates/${substrate.name}, look at it, and try again with its ETag.`,
  })
}

/** By these the Hub finds its machines, and no two of them may have one address. */
const FIXED = ['vmids', 'pool', 'network'] as const

export function assertKeepsMachines({ name, machines, proxmox }: Substrate, config: ProxmoxConfig): void {
  if (machines === 0 || proxmox === null) return
  const moved = FIXED.filter((key) => JSON.stringify(proxmox[key]) !== JSON.stringify(config[key]))
  if (moved.length === 0) return
  throw new AutovibeError('conflict.state', `${machines} machines live on ${name}, which are found by its ${moved.join(', ')}.`, {
    errors: moved.map((key) => ({ path: `body.${key}`, message: 'cannot change while machines live on it' })),
    fix: 'Destroy them first: autovibe ps, autovibe machine destroy MACHINE',
  })
}

/** The token was given for these doors and is not sent to others. A new certificate at the same door is another thing: whoever renews it need not have kept the secret. */
export function assertSecretStays({ proxmox }: Substrate, config: ProxmoxConfig, hasSecret: boolean): void {
  if (hasSecret || proxmox === null) return
  if (proxmox.token_id !== config.token_id)
    throw new AutovibeError('request.invalid', `The stored secret is that of ${proxmox.token_id}.`, {
      errors: [{ path: 'body.token_secret', message: 'is required when token_id changes' }],
      fix: 'Send the secret of the new token along.',
    })
  const known = new Set(proxmox.doors.map(originOf))
  const other = config.doors.find((door) => !known.has(originOf(door)))
  if (other === undefined) return
  throw new AutovibeError('request.invalid', `The stored token was given for ${[...known].join(', ')} and is not sent to ${other.url}.`, {
    errors: [{ path: 'body.token_secret', message: 'is required when a door with another address comes in' }],
    fix: 'Send the secret of the token along.',
  })
}

export async function assertNameIsFree(tx: Tx, name: string): Promise<void> {
  const row = await tx.selectFrom('substrates').select('name').where('name', '=', name).executeTakeFirst()
  if (row) throw new AutovibeError('conflict.name_taken', `There is a substrate ${name} already.`, { fix: `autovibe substrate set ${name} changes it.` })
}

export async function assertNotInUse(tx: Tx, { name, kind, in_use, serves }: Substrate): Promise<void> {
  if (kind === 'local') throw new AutovibeError('conflict.state', 'local is this host, which cannot be removed.', { fix: 'autovibe substrate list' })
  if (serves) {
    const machines = await living(tx, 'proxmox')
    throw new AutovibeError(
      'conflict.state',
      machines === null ? `The Hub works with ${name} until its next start.` : `Machines live on ${name}: ${machines}.`,
      {
        fix:
          machines === null
            ? 'autovibe substrate use local && autovibe down && autovibe up'
            : 'Destroy them (autovibe machine destroy MACHINE), then: autovibe substrate use local',
      },
    )
  }
  if (in_use) throw new AutovibeError('conflict.state', `The Hub shall use ${name} from its next start on.`, { fix: 'autovibe substrate use local' })
}

/** A Hub works with one substrate: machines on another would count as lost at its next start. */
export async function assertNothingElsewhere(tx: Tx, wanted: Substrate): Promise<void> {
  for (const kind of ['local', 'proxmox'] as const) {
    // Those of the kind that is wanted are on another cluster, for this one does not serve.
    if (wanted.kind === 'local' && kind === 'local') continue
    const machines = await living(tx, kind)
    if (machines !== null)
      throw new AutovibeError('conflict.state', `Machines live elsewhere, which the Hub could not reach any more: ${machines}.`, {
        fix: 'Take out what you need (autovibe checkpoint export), and destroy them: autovibe machine destroy MACHINE',
      })
  }
}

async function living(tx: Tx, substrate: 'local' | 'proxmox'): Promise<string | null> {
  const rows = await tx
    .selectFrom('machines')
    .select('name')
    .where('substrate', '=', substrate)
    .where('state', '<>', 'destroyed')
    .orderBy('id')
    .limit(NAMED + 1)
    .execute()
  if (rows.length === 0) return null
  const names = rows.slice(0, NAMED).map(({ name }) => name)
  return `${names.join(', ')}${rows.length > NAMED ? ' and more' : ''}`
}
