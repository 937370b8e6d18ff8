/** Projects, and the source that is imported into them. */
import type {
  CreatedCheckpoint,
  CreateProject,
  ImportCheckpointQuery,
  LimitsProposal,
  MachineLimitsChange,
  Project,
  ProjectSettings,
  ProjectStorage,
  PutProjectEgress,
  PutProjectPrice,
  PutProjectRetention,
  PutProjectTriggers,
  RetentionPlan,
  RetentionRequest,
} from '@autovibe/contract'
import { type List, list } from './pages.ts'
import type { CallOptions, Transport } from './transport.ts'

export interface SourceOf {
  readonly commit: string
  readonly baseCommit: string
  readonly branch?: string | null | undefined
  readonly dirty?: boolean | undefined
}

export class Projects {
  readonly #transport: Transport
  constructor(transport: Transport) {
    this.#transport = transport
  }

  create(project: CreateProject, options?: CallOptions): Promise<Project> {
    return this.#transport.json('POST', '/projects', { ...options, body: project })
  }

  list(options?: CallOptions): List<Project> {
    return list(this.#transport, '/projects', {}, options)
  }

  /** By name or id. */
  get(ref: string, options?: CallOptions): Promise<Project> {
    return this.#transport.json('GET', `/projects/${encodeURIComponent(ref)}`, options)
  }

  /** Replaces the source by a git bundle with the one ref `refs/heads/autovibe-import`. */
  putSource(ref: string, bundle: Blob | Uint8Array<ArrayBuffer>, source: SourceOf, options?: CallOptions): Promise<Project> {
    return this.#transport.json('PUT', `/projects/${encodeURIComponent(ref)}/source`, {
      ...options,
      bytes: bundle,
      query: { commit: source.commit, base_commit: source.baseCommit, branch: source.branch, dirty: source.dirty ?? false },
    })
  }

  /** Makes a checkpoint of a tar (packed with gzip or zstd, if you like); wait until it is verified, then machines can start from it. */
  importCheckpoint(
    ref: string,
    tar: Blob | Uint8Array<ArrayBuffer>,
    imported: Partial<ImportCheckpointQuery> = {},
    options?: CallOptions,
  ): Promise<CreatedCheckpoint> {
    return this.#transport.json('POST', `${at(ref)}/checkpoints`, { ...options, bytes: tar, query: imported })
  }

  /** What the project has set for itself. */
  settings(ref: string, options?: CallOptions): Promise<ProjectSettings> {
    return this.#transport.json('GET', `${at(ref)}/settings`, options)
  }

  /** Sets the only models that may be called; null allows every model with a price. */
  allowModels(ref: string, models: readonly string[] | null, options?: CallOptions): Promise<ProjectSettings> {
    return this.#transport.json('PUT', `${at(ref)}/models`, { ...options, body: { allowed_models: models } })
  }

  /** Sets what its new machines may take; what is left out is as the Hub's host allows. */
  limit(ref: string, limits: MachineLimitsChange, options?: CallOptions): Promise<ProjectSettings> {
    return this.#transport.json('PUT', `${at(ref)}/limits`, { ...options, body: limits })
  }

  /** What its next machines should be given, by what its runs used; nothing is changed. */
  proposeLimits(ref: string, options?: CallOptions): Promise<LimitsProposal> {
    return this.#transport.json('GET', `${at(ref)}/limits/proposal`, options)
  }

  /** Sets all that its machines may reach beyond the Hub; an empty list is nothing. */
  putEgress(ref: string, egress: PutProjectEgress['egress'], options?: CallOptions): Promise<ProjectSettings> {
    return this.#transport.json('PUT', `${at(ref)}/egress`, { ...options, body: { egress } })
  }

  /** Sets which of its checkpoints stay; what is left out is as by default. */
  putRetention(ref: string, rules: PutProjectRetention, options?: CallOptions): Promise<ProjectSettings> {
    return this.#transport.json('PUT', `${at(ref)}/retention`, { ...options, body: rules })
  }

  /** Sets when checkpoints are taken by themselves; what is left out is as by default. */
  putTriggers(ref: string, triggers: PutProjectTriggers, options?: CallOptions): Promise<ProjectSettings> {
    return this.#transport.json('PUT', `${at(ref)}/triggers`, { ...options, body: triggers })
  }

  /** Which checkpoints would expire and why the others stay; with `apply` they do. */
  retain(ref: string, request: RetentionRequest = {}, options?: CallOptions): Promise<RetentionPlan> {
    return this.#transport.json('POST', `${at(ref)}/retention`, { ...options, body: request })
  }

  /** What its checkpoints take. */
  storage(ref: string, options?: CallOptions): Promise<ProjectStorage> {
    return this.#transport.json('GET', `${at(ref)}/storage`, options)
  }

  /** Sets what a model costs the project, in pico-US-dollars per token. */
  putPrice(ref: string, provider: string, model: string, price: PutProjectPrice, options?: CallOptions): Promise<ProjectSettings> {
    return this.#transport.json('PUT', priceAt(ref, provider, model), { ...options, body: price })
  }

  /** Goes back to the Hub's own price. */
  deletePrice(ref: string, provider: string, model: string, options?: CallOptions): Promise<ProjectSettings> {
    return this.#transport.json('DELETE', priceAt(ref, provider, model), options)
  }

  /** Gives the project's own key at a provider, which is never shown again. */
  putKey(ref: string, provider: string, key: string, options?: CallOptions): Promise<ProjectSettings> {
    return this.#transport.json('PUT', `${at(ref)}/keys/${encodeURIComponent(provider)}`, { ...options, body: { key } })
  }

  /** Goes back to the Hub's own key. */
  deleteKey(ref: string, provider: string, options?: CallOptions): Promise<ProjectSettings> {
    return this.#transport.json('DELETE', `${at(ref)}/keys/${encodeURIComponent(provider)}`, options)
  }
}

const at = (ref: string): string => `/projects/${encodeURIComponent(ref)}`
const priceAt = (ref: string, provider: string, model: string): string => `${at(ref)}/prices/${encodeURIComponent(provider)}/${encodeURIComponent(model)}`
