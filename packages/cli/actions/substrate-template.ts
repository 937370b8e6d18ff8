/** Has a template made, tells how far it is, and has the cluster's settings name it. */
import { AutovibeError, BuildTemplate, type BuiltTemplate, type ProxmoxConfig, type ProxmoxTemplate, type Substrate } from '@autovibe/contract'
import type { Autovibe } from '@autovibe/sdk'
import type { Action } from '../commands/define.ts'
import type { GrantsOptions, TemplateOptions } from '../commands/substrate-template.ts'
import type { Context } from '../context.ts'
import { askedSecret, givenSecret } from './token-secret.ts'

export const templateBuild: Action<TemplateOptions> = async (context, [name = ''], options) => {
  const { out, signal } = context
  const again = `autovibe substrate template build ${name}`
  const where = placeOf(again, options)
  const network = networkOf(options)
  if (options.abandon === true && options.use === true)
    throw new AutovibeError('request.invalid', '--abandon makes nothing that --use could have machines cloned from.', { fix: 'Give one of the two.' })
  const disk = options.disk === undefined ? {} : { disk_gib: wholeOf('--disk', options.disk) }
  const token_id = options.tokenId
  if (token_id === undefined)
    throw new AutovibeError('request.invalid', '--token-id must be given: of a token for this alone, not of the Hub’s.', {
      fix: `autovibe substrate grants ${name} --for template ${placeFlags(options)}`,
    })
  const early = await givenSecret(context, again, options)
  const client = await context.connect()
  const before = await client.substrates.get(name, { signal })
  const asked: BuildTemplate = {
    ...where,
    ...network,
    ...disk,
    ...(options.image === undefined ? {} : { image_url: options.image }),
    ...(options.imageSha256 === undefined ? {} : { image_sha256: options.imageSha256 }),
    ...(options.abandon === true ? { abandon: true } : {}),
    token_id,
    token_secret: early ?? (await askedSecret(context, again, token_id)),
  }
  const outcome = await client.substrates.buildTemplate(name, asked, teller(context), { signal })
  out.endLive()
  if ('removed' in outcome) {
    const what = outcome.removed.length === 0 ? 'Nothing was there to take away.' : `${out.paint.green('✓')} Taken away: ${outcome.removed.join(', ')}.`
    out.answer({ removed: outcome.removed }, [what])
    if (outcome.removed.some((each) => each.startsWith('VM ')))
      out.note('With the VM went the rights on its number; the line that ends in AutovibeTemplateVm gives them again.')
    return 0
  }
  await tellMade(context, client, before, outcome.template, options.use === true)
  return 0
}

/** Each step on a line of its own; how long it takes, only for who watches. */
function teller({ out }: Pick<Context, 'out'>): (progress: { step: string; detail: string; elapsed_seconds: number }) => void {
  let step = ''
  return (progress) => {
    out.live(`${progress.detail} (${minutesOf(progress.elapsed_seconds)})`)
    if (progress.step === step) return
    step = progress.step
    out.note(progress.detail)
  }
}

const minutesOf = (seconds: number): string => `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`

async function tellMade({ out, signal }: Context, client: Autovibe, before: Substrate, template: BuiltTemplate, use: boolean): Promise<void> {
  const { name, proxmox } = before
  const settings = proxmox?.templates ?? []
  const isNamed = settings.some(({ vmid, node }) => vmid === template.vmid && (node === null || node === template.node))
  const wanted = templatesWith(settings, template)
  const substrate = !isNamed && use ? await client.substrates.update(before, { templates: wanted }, { signal }) : before
  out.answer({ template, substrate }, [
    `${out.paint.green('✓')} The template ${template.vmid} on ${template.node} ${template.made ? 'is made' : 'was made before'}.${
      !isNamed && use ? ` New machines are cloned from it${before.serves ? ', from the next start of the Hub on' : ''}.` : ''
    }`,
  ])
  out.note('Its token is of no more use; as root on a node: pveum user delete USER')
  out.next(isNamed || use ? [`autovibe substrate probe ${name}`] : [`autovibe substrate set ${name} --template ${wanted.map(textOf).join(' ')}`])
}

/** On storage that all nodes share there is one; else each node has its own, and those of others stay. */
function templatesWith(templates: ProxmoxConfig['templates'], { vmid, node }: { vmid: number; node: string | null }): ProxmoxTemplate[] {
  if (templates.every((each) => each.node === null)) return [{ vmid, node: null }]
  return [...templates.filter((each) => each.node !== node && each.node !== null), { vmid, node }]
}

const textOf = ({ vmid, node }: ProxmoxTemplate): string => (node === null ? String(vmid) : `${vmid}@${node}`)

function placeOf(command: string, options: GrantsOptions) {
  const { node, imageStorage, bridge, vmid } = options
  const lacking = [...(node === undefined ? ['--node'] : []), ...(imageStorage === undefined ? ['--image-storage'] : [])]
  if (node === undefined || imageStorage === undefined)
    throw new AutovibeError('request.invalid', `${lacking.join(' and ')} must be given.`, { fix: `${command} --node NODE --image-storage local` })
  return {
    node,
    image_storage: imageStorage,
    ...(bridge === undefined ? {} : { bridge }),
    ...(vmid === undefined ? {} : { vmid: wholeOf('--vmid', vmid) }),
  }
}

function wholeOf(option: string, text: string): number {
  if (/^[0-9]{1,9}$/.test(text)) return Number(text)
  throw new AutovibeError('request.invalid', `${option} is a whole number, not ${JSON.stringify(text)}.`, { fix: 'autovibe substrate template build --help' })
}

function networkOf({ ip = 'dhcp', nameserver }: TemplateOptions): Pick<BuildTemplate, 'network'> {
  const [, address, gateway] = /^([0-9./]+),gw=([0-9.]+)$/.exec(ip) ?? []
  if (address !== undefined && gateway !== undefined && nameserver !== undefined) {
    const network = BuildTemplate.shape.network.safeParse({ kind: 'static', address, gateway, nameserver })
    const [wrong] = network.error?.issues ?? []
    if (wrong !== undefined) throw wrongNetwork(`${FLAGS[String(wrong.path[0])] ?? '--ip'}: ${wrong.message}.`)
    return { network: { kind: 'static', address, gateway, nameserver } }
  }
  if (ip === 'dhcp' && nameserver === undefined) return {}
  throw wrongNetwork('--ip comes as an address with its gateway, and with --nameserver; with DHCP neither is said.')
}

const FLAGS: Readonly<Record<string, string>> = { address: '--ip, its address', gateway: '--ip, its gateway', nameserver: '--nameserver' }
const wrongNetwork = (message: string): AutovibeError =>
  new AutovibeError('request.invalid', message, { fix: '--ip 192.0.2.30/24,gw=192.0.2.1 --nameserver 192.0.2.1' })

/** The lines that an administrator types before and after. */
export async function tellTemplateGrants({ connect, out, signal }: Context, name: string, options: GrantsOptions): Promise<number> {
  const where = placeOf(`autovibe substrate grants ${name} --for template`, options)
  const grants = await (await connect()).substrates.templateGrants(name, where, { signal })
  out.note('As root on a node of the cluster. The line that makes the token prints its secret, which is shown only then:')
  out.answer(grants, grants.lines)
  out.note('When the template is made, all of it is taken away with:')
  for (const line of grants.remove) out.note(`  ${line}`)
  out.next([`autovibe substrate template build ${name} ${placeFlags(options)} --token-id '${grants.token_id}' --token-stdin < SECRET`])
  return 0
}

/** As they were given. */
const placeFlags = (options: GrantsOptions): string =>
  Object.entries(options)
    .flatMap(([key, value]) => (PLACE.has(key) ? [`--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`, String(value)] : []))
    .join(' ')

const PLACE: ReadonlySet<string> = new Set(['node', 'imageStorage', 'bridge', 'vmid'])
