/** Projects, and the source that is imported into them. */
import type { CreateProject, Project } from '@autovibe/contract'
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
}
