/** Looks at everything of a cluster that a Hub will need, and changes nothing there: only reading calls are made. */
import type { Finding } from '@autovibe/contract'
import type { ClientLimits } from '../client/limits.ts'
import { openClient, type ProxmoxCluster } from '../cluster.ts'
import { probeArchive } from './archive.ts'
import { probeDoors } from './doors.ts'
import { failed } from './findings.ts'
import { probeGate } from './gate.ts'
import { probeBridge, probeFirewall } from './network.ts'
import { probeNodes } from './nodes.ts'
import { probeNumbers } from './numbers.ts'
import type { Site } from './site.ts'
import { probeStorage } from './storage.ts'
import { probeTemplates } from './templates.ts'
import { probeToken } from './token.ts'

/** A person waits: what does not answer soon is a finding. */
const PATIENCE: Partial<ClientLimits> = { connectMs: 4_000, headersMs: 15_000, answerMs: 20_000, repeats: 1, lockDeadlineMs: 0 }

export interface ProbeOptions {
  /** The Hub works with the cluster now, so that its gate is open. */
  readonly serves: boolean
  readonly signal: AbortSignal
  readonly limits?: Partial<ClientLimits>
}

export async function probeCluster(settings: ProxmoxCluster, { serves, signal, limits = PATIENCE }: ProbeOptions): Promise<readonly Finding[]> {
  const { name, config } = settings
  const gate = await probeGate({ name, config }, serves)
  const doors = await probeDoors(settings, limits, signal)
  if (!doors.opens) return [...doors.findings, ...gate]
  const client = openClient(settings, limits)
  try {
    const site: Site = { name, config, client, signal }
    const token = await probeToken(site)
    if (!token.taken) return [...doors.findings, ...token.findings, ...gate]
    const nodes = await probeNodes(site)
    const withNodes = { ...site, nodes: nodes.nodes }
    const rest =
      nodes.nodes.length === 0
        ? [[failed('node', 'all', 'No node is up that machines may be on: storage, bridge and templates were not looked at.', 'pvecm nodes')]]
        : await Promise.all([
            probeStorage(withNodes),
            probeArchive(withNodes),
            probeBridge(withNodes),
            probeFirewall(withNodes),
            probeTemplates(withNodes),
            probeNumbers(site),
          ])
    return [...doors.findings, ...token.findings, ...nodes.findings, ...rest.flat(), ...gate]
  } finally {
    await client.close()
  }
}
