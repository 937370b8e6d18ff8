/** What a project sets for itself: which models may be called, prices of its own, keys of its own at the providers, what its machines may take and what they may reach. */
import { z } from 'zod'
import { Time } from './common.ts'
import { Name, ProjectId } from './ids.ts'
import { MachineLimitsChange } from './limits.ts'
import { Amount } from './money.ts'
import { RetentionRules } from './retention.ts'
import { TriggerSettings } from './triggers.ts'

/** The id of a model as it is called, exactly. */
export const ModelId = z.string().min(1).max(200)

/** Ten thousand dollars for a million tokens: above it a slip of the pen is likelier than a price. */
const MOST_PICO_USD = 10_000_000_000n
const PicoUsdPerToken = Amount.refine(
  (text) => text.length < 12 && BigInt(/^\d+$/.test(text) ? text : 0) <= MOST_PICO_USD,
  `must be at most ${MOST_PICO_USD}`,
).describe('Pico-US-dollars per token (4 dollars for a million tokens are 4000000), as a decimal string')

/** What a model costs a project, instead of the Hub's own table; it has no dearer tier for long prompts. */
export const PutProjectPrice = z.object({
  context_window_tokens: z.int().min(1).max(100_000_000).describe('The most input that the model accepts'),
  input: PicoUsdPerToken,
  cache_read: PicoUsdPerToken,
  cache_write_5m: PicoUsdPerToken,
  cache_write_1h: PicoUsdPerToken,
  output: PicoUsdPerToken,
})
export type PutProjectPrice = z.infer<typeof PutProjectPrice>

export const ProjectPrice = PutProjectPrice.extend({ provider: Name, model: ModelId, updated_at: Time })
export type ProjectPrice = z.infer<typeof ProjectPrice>

/** A key is kept encrypted, is sent to this origin alone, and is never shown again. */
export const ProjectKey = z.object({ provider: Name, origin: z.string(), updated_at: Time })
export type ProjectKey = z.infer<typeof ProjectKey>

/** One destination that the project's machines may reach. */
export const EgressRule = z.object({
  destination: z
    .string()
    .min(1)
    .max(300)
    .describe('HOST:PORT: a host name, *.NAME for its subdomains, or an IP address (IPv6 in brackets); a name must lead to public addresses alone'),
  private: z
    .boolean()
    .default(false)
    .describe('Allows an IP address that lies in a network of your own; loopback, link-local and metadata addresses never are allowed'),
})
export type EgressRule = z.infer<typeof EgressRule>

export const ProjectSettings = z.object({
  project_id: ProjectId,
  allowed_models: z.array(ModelId).nullable().describe('The only models that may be called; null: every model with a price'),
  prices: z.array(ProjectPrice),
  keys: z.array(ProjectKey).describe("The providers that are called with the project's own key instead of the Hub's"),
  limits: MachineLimitsChange.describe("What its new machines may take; what is left out is as the Hub's host allows"),
  egress: z.array(EgressRule).describe('All that its machines may reach beyond the Hub, as a rule nothing'),
  retention: RetentionRules.describe('Which of its checkpoints stay; the others expire'),
  triggers: TriggerSettings.describe('When checkpoints are taken by themselves'),
})
export type ProjectSettings = z.infer<typeof ProjectSettings>

export const PutProjectModels = z.object({ allowed_models: z.array(ModelId).min(1).max(200).nullable() })
export type PutProjectModels = z.infer<typeof PutProjectModels>

/** Far more than a project needs; each attempt of a machine looks at all of them. */
const EGRESS_RULES_MAX = 200
export const PutProjectEgress = z.object({ egress: z.array(EgressRule.strict()).max(EGRESS_RULES_MAX) })
export type PutProjectEgress = z.input<typeof PutProjectEgress>

export const PutProjectKey = z.object({ key: z.string().min(1).max(1000) })
export type PutProjectKey = z.infer<typeof PutProjectKey>
