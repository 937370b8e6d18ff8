/** What the API is built from; main.ts gives it. */
import type {
  AskGrants,
  AskTemplateGrants,
  BuildTemplate,
  BuiltTemplate,
  DoorCertificate,
  Finding,
  Grants,
  Health,
  HubInfo,
  InstalledAgent,
  ProxmoxConfig,
  TemplateGrants,
} from '@autovibe/contract'
import type { FastifyBaseLogger, FastifyInstance, RawReplyDefaultExpression, RawRequestDefaultExpression, RawServerDefault } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import type { z } from 'zod'
import type { Imports } from '../../checkpoints/archive/imports.ts'
import type { CheckpointStore } from '../../checkpoints/store.ts'
import type { ChangeFeed } from '../../database/change-feed.ts'
import type { Database } from '../../database/database.ts'
import type { Execs } from '../../exec/execs.ts'
import type { Ledger } from '../../ledger/ledger.ts'
import type { Logger } from '../../observability/logger.ts'
import type { Metrics } from '../../observability/metrics.ts'
import type { Requests } from '../../operations/requests.ts'
import type { Runtime } from '../../runtime.ts'
import type { Secrets } from '../../security/secrets.ts'

interface BroughtCluster {
  readonly name: string
  readonly config: ProxmoxConfig
}

/** How people bring a Proxmox cluster: looked at, and nothing changed there but by the making of a template, with a token of its own. */
export interface ProxmoxBringing {
  /** What a door shows; `substrate.unavailable` where nothing answers. */
  certificate(url: string, signal: AbortSignal): Promise<DoorCertificate>
  /** Everything that was looked at; what does not answer is a finding too. */
  probe(
    target: { readonly name: string; readonly config: ProxmoxConfig; readonly tokenSecret: string; readonly serves: boolean },
    signal: AbortSignal,
  ): Promise<readonly Finding[]>
  grants(asked: z.output<typeof AskGrants>): Grants
  templateGrants(asked: z.output<typeof AskTemplateGrants>, cluster: BroughtCluster): TemplateGrants
  /** Goes on where it was; `removed` when it was to be given up. */
  makeTemplate(
    wish: z.output<typeof BuildTemplate>,
    cluster: BroughtCluster,
    options: { readonly tell: (step: string, detail: string) => void; readonly signal: AbortSignal },
  ): Promise<{ readonly template: BuiltTemplate } | { readonly removed: readonly string[] }>
}

export interface ApiDeps {
  readonly db: Database
  readonly runtime: Runtime
  readonly logger: Logger
  readonly requests: Requests
  readonly ledger: Ledger
  readonly store: CheckpointStore
  readonly imports: Imports
  readonly secrets: Secrets
  readonly execs: Execs
  readonly dataDir: string
  readonly changes: ChangeFeed
  health(): Promise<Health>
  info(): Promise<HubInfo>
  readonly metrics: Pick<Metrics, 'text' | 'contentType'>
  readonly proxmox: ProxmoxBringing
  /** The agent tools in the data directory. */
  agents(): Promise<readonly InstalledAgent[]>
  /** Installs one, or throws `agent.unknown`; installing what is there is no error. */
  installAgent(name: string): Promise<InstalledAgent>
  /** Host names, besides those of loopback, that a request may be addressed to. */
  readonly allowedHosts?: readonly string[]
  /** How long a client may take nothing of an archive before it is cut off, in ms. */
  readonly stalledMs?: number
}

/** What the files of resources get: the dependencies, and the signal that the API is closing. */
export interface ApiContext extends ApiDeps {
  readonly closing: AbortSignal
  /** How many requests are held open now, against a limit. */
  readonly load: { waiting: number; streams: number }
}

/** Fastify with handlers typed by the Zod schemas of their route. */
export type Api = FastifyInstance<RawServerDefault, RawRequestDefaultExpression, RawReplyDefaultExpression, FastifyBaseLogger, ZodTypeProvider>
