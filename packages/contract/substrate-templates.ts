/** The making of a template on a cluster: what is asked, with a token for this alone, and what is told while it goes on. */
import { z } from 'zod'
import { Problem } from './errors.ts'
import { NodeName, ProxmoxName, ProxmoxTemplate, ProxmoxUser, TokenId, TokenSecret, Vmid } from './substrates.ts'

const IMAGE = 'https://cloud-images.ubuntu.com/noble/current/noble-server-cloudimg-amd64.img'

const where = {
  node: NodeName.describe('Where it is made'),
  vmid: Vmid.nullable().default(null).describe('Its number; null: that of the template with which the cluster was brought'),
  image_storage: ProxmoxName.describe('For the image and the seed meanwhile; takes the contents import and iso'),
  bridge: ProxmoxName.default('vmbr0').describe('With a way to the mirrors of packages, for the making alone'),
} as const

const numberOf = (address: string): number => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
/** Whether an address is reached from another without a gateway: `192.0.2.1` from `192.0.2.30/24`. */
function isNeighbour(one: string, other: string): boolean {
  const [address = '', bits = ''] = other.split('/')
  const size = 2 ** (32 - Number(bits))
  return one !== address && Math.floor(numberOf(one) / size) === Math.floor(numberOf(address) / size)
}

/** `POST /v1/substrates/{name}/template`: the same again goes on where it was. */
export const BuildTemplate = z.object({
  ...where,
  network: z
    .discriminatedUnion('kind', [
      z.object({ kind: z.literal('dhcp') }),
      z
        .object({ kind: z.literal('static'), address: z.cidrv4(), gateway: z.ipv4(), nameserver: z.ipv4() })
        .refine(({ address, gateway }) => isNeighbour(gateway, address), {
          path: ['gateway'],
          message: 'must be another address in the network of the address',
        }),
    ])
    .default({ kind: 'dhcp' })
    .describe('On that bridge'),
  disk_gib: z.int().min(4).max(1_024).default(12).describe('A machine’s own disk is added to that'),
  image_url: z
    .string()
    .max(500)
    .regex(/^https?:\/\/[A-Za-z0-9[\]._~:/?@!$&()*+,;=%-]+$/, 'must be the address of a cloud image')
    // It is written into the notes of the VM and into the audit.
    .refine((text) => URL.canParse(text) && new URL(text).username === '' && new URL(text).password === '', 'must be an address without credentials')
    .default(IMAGE),
  image_sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'must be 64 hex digits')
    .nullable()
    .default(null)
    .describe('Null: as SHA256SUMS beside the image says'),
  token_id: TokenId,
  token_secret: TokenSecret.describe('Kept in memory as long as this request lasts, and nowhere else'),
  abandon: z.boolean().default(false).describe('Take away all that an unfinished build has left, and make nothing'),
})
export type BuildTemplate = z.input<typeof BuildTemplate>

/** `POST /v1/substrates/{name}/template/grants`. */
export const AskTemplateGrants = z.object({ ...where, user: ProxmoxUser.default('autovibe-template@pve'), token: ProxmoxName.default('build') })
export type AskTemplateGrants = z.input<typeof AskTemplateGrants>
export const TemplateGrants = z.object({
  token_id: TokenId,
  lines: z.array(z.string()),
  remove: z.array(z.string()).describe('The lines that take it all away again'),
})
export type TemplateGrants = z.infer<typeof TemplateGrants>

export const BuiltTemplate = ProxmoxTemplate.extend({
  build: z.string().describe('Says what went into it: the same things, the same name'),
  made: z.boolean().describe('False: it was there already'),
})
export type BuiltTemplate = z.infer<typeof BuiltTemplate>

/** One line of the answer. The last is `done`, `abandoned` or `failed`; without one of these the answer was cut off. */
export const TemplateEvent = z.discriminatedUnion('type', [
  z.object({ type: z.literal('progress'), step: z.string(), detail: z.string(), elapsed_seconds: z.int().nonnegative() }),
  z.object({ type: z.literal('done'), template: BuiltTemplate }),
  z.object({ type: z.literal('abandoned'), removed: z.array(z.string()) }),
  z.object({ type: z.literal('failed'), problem: Problem }),
])
export type TemplateEvent = z.infer<typeof TemplateEvent>
/** Of the answer: one JSON document on each line. */
export const TEMPLATE_EVENTS_TYPE = 'application/x-ndjson'
