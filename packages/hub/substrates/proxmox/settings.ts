/** What a Hub knows of the cluster that it works with, the secret of its token included, and the client that follows from it. */
import type { ProxmoxConfig } from '@autovibe/contract'
import { ProxmoxClient } from './client/client.ts'
import type { ClientLimits } from './client/limits.ts'

export interface ProxmoxSettings {
  /** Of the substrate. */
  readonly name: string
  readonly config: ProxmoxConfig
  readonly tokenSecret: string
}

/** The caller closes it. */
export function openClient({ config, tokenSecret }: ProxmoxSettings, limits?: Partial<ClientLimits>): ProxmoxClient {
  return new ProxmoxClient({
    doors: config.doors.map(({ url, fingerprint }) => ({ url, ...(fingerprint === null ? {} : { fingerprint }) })),
    ...(config.ca === null ? {} : { ca: config.ca }),
    credentials: { kind: 'token', id: config.token_id, secret: tokenSecret },
    ...(limits === undefined ? {} : { limits }),
  })
}
