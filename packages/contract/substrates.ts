/** What machines are made on: this host, or Proxmox clusters that a person has brought. The secret of a cluster's token goes in and never comes out. */
import { z } from 'zod'
import { Time } from './common.ts'
import { Finding } from './hub.ts'
import { Name } from './ids.ts'

/** What Proxmox takes for a name of its own, and a line of `pveum` can say without quotes. */
export const ProxmoxName = z.string().regex(/^[A-Za-z][A-Za-z0-9._-]{0,62}$/, 'must be a name of letters, digits, dots, underscores and hyphens')
export const ProxmoxUser = z.string().regex(/^[A-Za-z0-9._-]{1,60}@[A-Za-z][A-Za-z0-9._-]{1,31}$/, 'must be USER@REALM')
export const TokenId = z
  .string()
  .regex(/^[A-Za-z0-9._-]{1,60}@[A-Za-z][A-Za-z0-9._-]{1,31}![A-Za-z][A-Za-z0-9._-]{0,62}$/, 'must be USER@REALM!TOKEN, for example autovibe@pve!hub')
export const TokenSecret = z.string().regex(/^[\x21-\x7e]{1,200}$/, 'must be 1 to 200 printable characters without blanks')
export const NodeName = z.string().regex(/^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/, 'must be the name of a node')
export const Vmid = z.int().min(100).max(999_999_999)

/** SHA-256 of a certificate as Proxmox shows it. */
export const Fingerprint = z
  .string()
  .regex(/^[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){31}$/, 'must be 32 pairs of hex digits with colons, as pvenode cert info shows it')

const DoorUrl = z
  .string()
  .max(300)
  .regex(/^https:\/\/(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?$/, 'must be https://HOST:8006, without a path')
  .refine((text) => URL.canParse(text), 'must be an address')

/** HOST:PORT with an address: a machine's firewall rule cannot be written for a name. */
const Endpoint = z.string().refine((text) => splitEndpoint(text) !== null, 'must be ADDRESS:PORT, for example 10.90.0.2:7443')

/** Null for what is no address and port. */
export function splitEndpoint(text: string): { readonly host: string; readonly port: number } | null {
  const [, six, four, digits = ''] = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15})):([0-9]{1,5})$/.exec(text) ?? []
  const host = six ?? four ?? ''
  const port = Number(digits)
  const isAddress = six === undefined ? z.ipv4().safeParse(host).success : z.ipv6().safeParse(host).success
  return isAddress && port >= 1 && port <= 65_535 ? { host, port } : null
}

export const ProxmoxDoor = z.object({
  url: DoorUrl,
  fingerprint: Fingerprint.nullable().default(null).describe('Null: the certificate must be of the ca, or of a public authority'),
})
export type ProxmoxDoor = z.infer<typeof ProxmoxDoor>

export const ProxmoxNetwork = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('dhcp') }),
  z.object({
    kind: z.literal('static'),
    subnet: z.cidrv4().describe('Of the bridge, for example 10.90.0.0/18'),
    first: z.ipv4().describe('Of the VM with the first number of the range; the next number has the next address'),
    gateway: z.ipv4().nullable().default(null).describe('Null: machines reach their own network alone'),
    nameserver: z.ipv4().nullable().default(null),
  }),
])
export type ProxmoxNetwork = z.infer<typeof ProxmoxNetwork>

/** Where a template is: on that node, or (null) on storage that all nodes share. */
export const ProxmoxTemplate = z.object({ vmid: Vmid, node: NodeName.nullable().default(null) })
export type ProxmoxTemplate = z.infer<typeof ProxmoxTemplate>

const shape = {
  doors: z.array(ProxmoxDoor).min(1).max(32).describe('In order of preference; each leads to the whole cluster'),
  ca: z.string().startsWith('-----BEGIN CERTIFICATE-----').max(20_000).nullable().describe('An authority in PEM for doors without a fingerprint'),
  token_id: TokenId,
  nodes: z.array(NodeName).min(1).max(64).nullable().describe('Where machines may be; null: on all'),
  storage: ProxmoxName.describe('Where their disks lie'),
  bridge: ProxmoxName,
  templates: z.array(ProxmoxTemplate).min(1).max(64),
  vmids: z.object({ from: Vmid, to: Vmid }).refine(({ from, to }) => from <= to && to - from < 100_000, 'must be at most 100,000 numbers, the smaller first'),
  pool: ProxmoxName,
  gate: z.object({
    listen: Endpoint.describe('Where the Hub waits for its machines'),
    advertised: Endpoint.describe('How machines reach that from the bridge'),
  }),
  network: ProxmoxNetwork,
  cores: z.int().min(1).max(512),
  memory_mib: z.int().min(256).max(4_194_304),
  snapshots_most: z.int().min(1).max(100).describe('Of one machine at once; older checkpoints stay in the store'),
  include_ram: z.boolean().describe('Whether snapshots keep the memory too; forks never get it'),
  archive: ProxmoxName.nullable().describe('A storage for copies of whole machines, best a backup server; null: none are made'),
  archives_kept: z.int().min(1).max(100).describe('Of one machine; older ones are removed when another is there'),
  spread_projects: z.boolean().describe('Whether machines of one project keep to different nodes while there are enough'),
} as const

/** Settings that clusters of an earlier version were brought without. */
const LATER = { archive: shape.archive.default(null), archives_kept: shape.archives_kept.default(3) }

/** How a Hub works with a cluster, without the secret. */
export const ProxmoxConfig = z.object({ ...shape, ...LATER })
export type ProxmoxConfig = z.infer<typeof ProxmoxConfig>

export const Substrate = z.object({
  name: Name,
  kind: z.enum(['local', 'proxmox']),
  in_use: z.boolean().describe('From the next start of the Hub on'),
  serves: z.boolean().describe('Machines are made on it now'),
  machines: z.int().nonnegative().describe('That are not destroyed'),
  /** Null for this host, which needs none. */
  proxmox: ProxmoxConfig.nullable(),
  version: z.string().describe('For If-Match'),
  updated_at: Time.nullable(),
})
export type Substrate = z.infer<typeof Substrate>

/** `GET /v1/substrates/{name}`. */
export const ShownSubstrate = Substrate.extend({ findings: z.array(Finding).describe('What stands in its way now, of the one that serves') })
export type ShownSubstrate = z.infer<typeof ShownSubstrate>

/** `POST /v1/substrates`: what is left out is as most clusters have it. */
export const CreateSubstrate = z.object({
  name: Name.refine((name) => name !== 'local', 'must not be local, which is this host'),
  token_secret: TokenSecret,
  ...shape,
  ca: shape.ca.default(null),
  nodes: shape.nodes.default(null),
  bridge: shape.bridge.default('vmbr1'),
  vmids: shape.vmids.default({ from: 900_000, to: 909_999 }),
  pool: shape.pool.default('autovibe'),
  network: ProxmoxNetwork.default({ kind: 'dhcp' }),
  cores: shape.cores.default(2),
  memory_mib: shape.memory_mib.default(4_096),
  snapshots_most: shape.snapshots_most.default(8),
  include_ram: shape.include_ram.default(false),
  ...LATER,
  spread_projects: shape.spread_projects.default(true),
})
export type CreateSubstrate = z.input<typeof CreateSubstrate>

/** `PATCH /v1/substrates/{name}`: what is left out stays; the secret must come along when a door with another address comes in. */
export const UpdateSubstrate = z.object({ ...shape, token_secret: TokenSecret }).partial()
export type UpdateSubstrate = z.input<typeof UpdateSubstrate>

/** What using it came to. */
export const UsedSubstrate = Substrate.extend({ takes_effect: z.enum(['now', 'at the next start of the Hub']) })
export type UsedSubstrate = z.infer<typeof UsedSubstrate>

/** Everything that was looked at; the worst of the findings is the status. */
export const SubstrateProbe = z.object({ name: Name, status: Finding.shape.status, findings: z.array(Finding) })
export type SubstrateProbe = z.infer<typeof SubstrateProbe>

/** `POST /v1/substrates/certificate`: what a door shows, before anything is sent to it. */
export const AskCertificate = z.object({ url: DoorUrl })
export type AskCertificate = z.input<typeof AskCertificate>
export const DoorCertificate = z.object({
  url: z.string(),
  fingerprint: Fingerprint,
  subject: z.string(),
  issuer: z.string(),
  valid_to: Time,
  /** A public authority vouches for it, so that no fingerprint is needed. */
  trusted: z.boolean(),
})
export type DoorCertificate = z.infer<typeof DoorCertificate>

/** `POST /v1/substrates/grants`: for whom and where the least privileges shall be given. */
export const AskGrants = z.object({
  user: ProxmoxUser.default('autovibe@pve'),
  token: ProxmoxName.default('hub'),
  pool: shape.pool.default('autovibe'),
  storages: z.array(ProxmoxName).min(1).max(64),
  bridges: z.array(ProxmoxName).min(1).max(64).default(['vmbr1']),
  archive: shape.archive.default(null),
  templates: z.array(Vmid).max(64).default([]).describe('VMs that exist already and shall come into the pool'),
})
export type AskGrants = z.input<typeof AskGrants>
export const Grants = z.object({ token_id: TokenId, lines: z.array(z.string()) })
export type Grants = z.infer<typeof Grants>
