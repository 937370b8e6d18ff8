/** How people bring a cluster: see its certificate, give its token the least, probe it, have its template made. */
import type { AskGrants, DoorCertificate, Finding, Grants } from '@autovibe/contract'
import type { z } from 'zod'
import { pveumLines } from './client/privileges.ts'
import type { ProxmoxCluster } from './cluster.ts'
import { certificateOf } from './probe/certificate.ts'
import { probeCluster } from './probe/probe.ts'
import { makeTemplate, templateGrants } from './template/make-template.ts'

export const proxmoxBringing = {
  certificate: (url: string, signal: AbortSignal): Promise<DoorCertificate> => certificateOf(url, signal),
  probe: ({ serves, ...settings }: ProxmoxCluster & { readonly serves: boolean }, signal: AbortSignal): Promise<readonly Finding[]> =>
    probeCluster(settings, { serves, signal }),
  grants: (asked: z.output<typeof AskGrants>): Grants => ({ token_id: `${asked.user}!${asked.token}`, lines: pveumLines(asked) }),
  templateGrants,
  makeTemplate,
}
