/** What the looks of a probe share: whom they ask, what they go by, and the nodes that machines may be on. */
import type { ProxmoxConfig } from '@autovibe/contract'
import type { ProxmoxClient } from '../client/client.ts'

export interface Site {
  /** Of the substrate, for the commands that mend it. */
  readonly name: string
  readonly config: ProxmoxConfig
  readonly client: ProxmoxClient
  readonly signal: AbortSignal
}

/** A site of whose nodes it is known which are up. */
export interface NodesSite extends Site {
  /** That are up and that machines may be on. */
  readonly nodes: readonly string[]
}

/** The command that changes the substrate. */
export const setCommand = ({ name }: Pick<Site, 'name'>, options: string): string => `autovibe substrate set ${name} ${options}`
