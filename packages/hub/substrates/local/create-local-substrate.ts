/** Opens the local substrate: machines are sandboxes on this Linux host, their trees are overlay layers or copies in the data directory. */
import { mkdir } from 'node:fs/promises'
import { cacheFolder } from './compile-cache.ts'
import type { LocalSubstrateOptions } from './host.ts'
import { makeLayer } from './layers.ts'
import { openLayout } from './layout.ts'
import { LocalSubstrate } from './local-substrate.ts'
import { EMPTY_LAYER } from './overlay.ts'
import { probeHost } from './probe.ts'
import { AGENT_PARTS } from './sandbox.ts'
import { buildSkeleton } from './skeleton.ts'

export type { AgentCode, LocalSubstrateOptions, SubstrateLogger } from './host.ts'

/** Probes the host, takes over the machines that run, and clears away what an earlier Hub left half done. */
export async function createLocalSubstrate(options: LocalSubstrateOptions): Promise<LocalSubstrate> {
  const layout = await openLayout(options.dataDir)
  await mkdir(options.agentsDir, { recursive: true, mode: 0o755 })
  const [offer, skeleton, cache] = await Promise.all([probeHost(layout, options), buildSkeleton(layout.roots, AGENT_PARTS), cacheFolder(layout, options)])
  await makeLayer(layout, EMPTY_LAYER)
  const substrate = new LocalSubstrate({ layout, options, offer, skeleton, cache })
  await substrate.takeOver()
  return substrate
}
