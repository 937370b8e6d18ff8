/** The Hub itself: health, providers and their keys, API keys, what the host offers. */
import { z } from 'zod'
import { Time } from './common.ts'
import { ApiKeyId, Name } from './ids.ts'
import { MachineLimits } from './limits.ts'
import { SubstrateTier } from './machines.ts'

export const Health = z.object({
  status: z.enum(['ok', 'degraded']),
  version: z.string(),
  started_at: Time,
  checks: z.array(z.object({ name: z.string(), ok: z.boolean(), detail: z.string() })),
})
export type Health = z.infer<typeof Health>

/** One thing that `doctor` tried. */
export const Finding = z.object({
  area: z.string(),
  name: z.string(),
  status: z.enum(['ok', 'warning', 'failed']),
  detail: z.string(),
  fix: z.string().nullable(),
})
export type Finding = z.infer<typeof Finding>

export const HubInfo = z.object({
  version: z.string(),
  node: z.string(),
  database: z.string(),
  data_dir: z.string(),
  tier: SubstrateTier,
  findings: z.array(Finding),
  default_limits: MachineLimits.describe('What a machine may take for which nobody says otherwise, chosen from the host'),
  /** The machines that this Hub has started again when it came up, because the end of the last one had stopped them. */
  started_again: z.array(Name),
})
export type HubInfo = z.infer<typeof HubInfo>

/** How a vendor is spoken to: Anthropic Messages, or OpenAI Chat Completions and Responses. */
export const WIRES = ['anthropic', 'openai'] as const
export type ProviderWire = (typeof WIRES)[number]

/** A vendor of models as the gateway reaches it. */
export const Provider = z.object({
  name: Name,
  wire: z.enum(WIRES),
  base_url: z.url(),
  has_key: z.boolean(),
  default_model: z.string(),
  /** True for a stand-in whose costs are simulated at list prices. */
  simulated: z.boolean(),
  updated_at: Time,
})
export type Provider = z.infer<typeof Provider>

/** `PUT /v1/providers/{name}`. The key is kept encrypted and is never shown again. A new provider that is named after a wire speaks that, others `anthropic`. */
export const PutProvider = z.object({
  wire: z.enum(WIRES).optional(),
  base_url: z.url().optional(),
  key: z.string().min(1).max(1000).optional(),
  default_model: z.string().min(1).max(200).optional(),
  simulated: z.boolean().default(false),
})
export type PutProvider = z.input<typeof PutProvider>

/** What one quick try to reach a provider came to: asked by the Hub, which is who calls it, without a key. */
export const ProviderReach = z.object({
  /** Something answered; whether it takes the key, only a call can tell. */
  answers: z.boolean(),
  detail: z.string(),
})
export type ProviderReach = z.infer<typeof ProviderReach>

export const ROLES = ['user', 'admin'] as const
export const Role = z.enum(ROLES)
export type Role = z.infer<typeof Role>

export const ApiKey = z.object({ id: ApiKeyId, name: z.string(), role: Role, created_at: Time, last_used_at: Time.nullable(), revoked_at: Time.nullable() })
export type ApiKey = z.infer<typeof ApiKey>
export const CreateApiKey = z.object({ name: z.string().min(1).max(100), role: Role.default('user') })
export type CreateApiKey = z.input<typeof CreateApiKey>
/** The secret is shown once. */
export const CreatedApiKey = ApiKey.extend({ secret: z.string() })
export type CreatedApiKey = z.infer<typeof CreatedApiKey>

/** An agent tool as installed in the data directory. */
export const InstalledAgent = z.object({ name: z.string(), version: z.string().nullable(), installed: z.boolean(), path: z.string().nullable() })
export type InstalledAgent = z.infer<typeof InstalledAgent>
