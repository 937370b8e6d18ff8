/** Brings a cluster, or changes how one is worked with: certificate, token, settings, and a probe at once. */
import { AutovibeError, Name, type ProxmoxConfig, type ProxmoxDoor } from '@autovibe/contract'
import type { Autovibe } from '@autovibe/sdk'
import type { Action } from '../commands/define.ts'
import type { SubstrateOptions } from '../commands/substrate.ts'
import type { Context } from '../context.ts'
import { quote } from '../git/repository.ts'
import { probeAndTell } from './substrate.ts'
import { changeOf } from './substrate-options.ts'
import { askedSecret, givenSecret, isTerminal } from './token-secret.ts'

const TOKEN_ID = 'autovibe@pve!hub'
const addCommand = (name: string): string => `autovibe substrate add proxmox ${name}`

export const substrateAdd: Action<SubstrateOptions> = async (context, [kind = '', name = ''], options) => {
  const { out, signal } = context
  if (kind !== 'proxmox')
    throw new AutovibeError('request.invalid', `There is no substrate of the kind ${JSON.stringify(kind)}.`, {
      fix: `autovibe substrate add proxmox ${name || 'NAME'}`,
    })
  if (!Name.safeParse(name).success || name === 'local')
    throw new AutovibeError('request.invalid', `${JSON.stringify(name)} is not a possible name of a cluster.`, {
      fix: 'Use letters, digits and dashes: autovibe substrate add proxmox lab',
    })
  const change = await changeOf(options, null)
  if (options.url === undefined) throw missing(name, ['--url'])
  const early = await givenSecret(context, addCommand(name), options)
  if (options.storage === undefined) throw missing(name, ['--storage'])
  const { token_id, storage, templates, gate, ...others } = change
  const lacking = token_id === undefined ? [] : [...(templates === undefined ? ['--template'] : []), ...(gate === undefined ? ['--gate'] : [])]
  if (lacking.length > 0) throw missing(name, lacking)
  const client = await context.connect()
  const doors = await doorsOf(context, client, options, null)
  if (token_id === undefined || storage === undefined || templates === undefined || gate === undefined) return tellGrants(context, client, name, options, doors)
  const token_secret = early ?? (await askedSecret(context, addCommand(name), token_id))
  const substrate = await client.substrates.create({ name, doors, token_id, token_secret, storage, templates, gate, ...others }, { signal })
  out.note(`${out.paint.green('✓')} ${name} is remembered. Now it is looked at.`)
  const code = await probeAndTell(context, name, { substrate })
  if (code === 0) out.next([`autovibe substrate use ${name}`])
  return code
}

export const substrateSet: Action<SubstrateOptions> = async (context, [name = ''], options) => {
  const { signal } = context
  const early = await givenSecret(context, `autovibe substrate set ${name}`, options)
  const client = await context.connect()
  const before = await client.substrates.get(name, { signal })
  if (before.proxmox === null) throw new AutovibeError('conflict.state', 'This host has no settings here.', { fix: 'autovibe up --help' })
  const change = await changeOf(options, before.proxmox)
  const doors = options.url === undefined && options.fingerprint === undefined ? undefined : await doorsOf(context, client, options, before.proxmox)
  const wish = { ...change, ...(doors === undefined ? {} : { doors }), ...(early === undefined ? {} : { token_secret: early }) }
  if (Object.keys(wish).length === 0)
    throw new AutovibeError('request.invalid', 'Nothing was given that should change.', { fix: 'autovibe substrate set --help' })
  const substrate = await client.substrates.update(before, wish, { signal })
  context.out.note(`${context.out.paint.green('✓')} ${name} was changed.${substrate.serves ? ' The Hub goes by it from its next start on.' : ''}`)
  return probeAndTell(context, name, { substrate })
}

const missing = (name: string, options: readonly string[]): AutovibeError =>
  new AutovibeError('request.invalid', `${options.join(' and ')} must be given.`, {
    fix: `autovibe substrate add proxmox ${name} --url https://HOST:8006 --storage STORAGE --template VMID --gate ADDRESS:7443 --token-id '${TOKEN_ID}' --token-stdin`,
  })

/** The lines that an administrator types; the command again, with what they print, goes on from there. */
async function tellGrants({ out, signal }: Context, client: Autovibe, name: string, options: SubstrateOptions, doors: readonly ProxmoxDoor[]): Promise<number> {
  const templates = (options.template ?? []).map((text) => Number.parseInt(text, 10))
  const asked = {
    storages: [options.storage ?? ''],
    templates,
    ...(options.pool === undefined ? {} : { pool: options.pool }),
    ...(options.archive === undefined || options.archive === 'none' ? {} : { archive: options.archive }),
    ...(options.bridge === undefined ? {} : { bridges: [options.bridge] }),
  }
  const grants = await client.substrates.grants(asked, { signal })
  out.note('As root on a node of the cluster, once. The line that makes the token prints its secret, which is shown only then:')
  out.answer(grants, grants.lines)
  out.note('Then the same again, with the secret on its standard input:')
  out.next([againWith(name, options, doors, grants.token_id)])
  return 0
}

/** The whole command, with the certificates that were found right and placeholders for what was not said. */
function againWith(name: string, options: SubstrateOptions, doors: readonly ProxmoxDoor[], tokenId: string): string {
  const pins = doors.flatMap(({ fingerprint }) => (fingerprint === null || fingerprint === undefined ? [] : [fingerprint]))
  const said = { template: 'VMID', gate: 'ADDRESS:7443', ...options, ...(pins.length === doors.length ? { fingerprint: pins } : {}), tokenId, tokenStdin: true }
  const words = Object.entries(said).flatMap(([key, value]: [string, unknown]) => {
    if (key === 'json' || key === 'dataDir' || key === 'tokenEnv' || value === undefined) return []
    const option = key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
    if (typeof value === 'boolean') return [value ? `--${option}` : `--no-${option}`]
    return [`--${option}`, ...[value].flat().map((each) => quote(String(each)))]
  })
  return ['autovibe substrate add proxmox', name, ...words].join(' ')
}

/** Each door with its fingerprint: given, known from before, or shown to the person, who says whether it is the right one. */
async function doorsOf(context: Context, client: Autovibe, options: SubstrateOptions, before: ProxmoxConfig | null): Promise<ProxmoxDoor[]> {
  const { url, fingerprint = [], ca } = options
  const urls = (url ?? before?.doors.map((door) => door.url) ?? []).map(originOf)
  if (fingerprint.length > 0 && fingerprint.length !== urls.length)
    throw new AutovibeError('request.invalid', `There are ${urls.length} addresses and ${fingerprint.length} fingerprints.`, {
      fix: 'One fingerprint for each --url, in the same order.',
    })
  const doors: ProxmoxDoor[] = []
  for (const [index, each] of urls.entries()) {
    const known = fingerprint[index]?.toUpperCase() ?? before?.doors.find((door) => door.url === each)?.fingerprint
    if (known !== undefined && known !== null) doors.push({ url: each, fingerprint: known })
    else if (ca !== undefined || (before?.ca ?? null) !== null) doors.push({ url: each, fingerprint: null })
    else doors.push(await confirmed(context, client, each))
  }
  return doors
}

function originOf(url: string): string {
  if (URL.canParse(url) && new URL(url).protocol === 'https:') return new URL(url).origin
  throw new AutovibeError('request.invalid', `${JSON.stringify(url)} is not the address of a cluster.`, { fix: '--url https://HOST:8006' })
}

async function confirmed(context: Context, client: Autovibe, url: string): Promise<ProxmoxDoor> {
  const { out, signal } = context
  const shown = await client.substrates.certificate(url, { signal })
  out.note(`The certificate of ${url}:`)
  out.note(`  ${shown.fingerprint}`)
  out.note(`  for ${shown.subject}, until ${shown.valid_to.slice(0, 10)}`)
  if (shown.trusted) {
    out.note('  A public authority vouches for it, also for the next one.')
    return { url, fingerprint: null }
  }
  out.note('  Compare it with what the node itself says: pvenode cert info')
  const fix = `Compare it with "pvenode cert info" on the node, and if it is the same: --url ${url} --fingerprint ${shown.fingerprint}`
  if (!isTerminal(context))
    throw new AutovibeError('request.invalid', `Nobody vouches for the certificate of ${url}, and nobody was asked; nothing was changed.`, { fix })
  const prompts = await import('@clack/prompts')
  const answer = await prompts.confirm({ message: 'Is it the same?', initialValue: false, output: process.stderr })
  if (answer !== true) throw new AutovibeError('operation.cancelled', 'Nothing was changed.', { fix })
  return { url, fingerprint: shown.fingerprint }
}
