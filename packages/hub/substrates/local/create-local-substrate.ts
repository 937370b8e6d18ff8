/** Opens the local substrate: machines are sandboxes on this Linux host, their trees are overlay layers or copies in the data directory. */
import { mkdir, readFile, statfs } from 'node:fs/promises'
import { availableParallelism, totalmem } from 'node:os'
import { limitsOfHost } from '@autovibe/core/limits/choose.ts'
import { probeGroups } from './cgroup-probe.ts'
import { cacheFolder } from './compile-cache.ts'
import type { LocalSubstrateOptions } from './host.ts'
import { makeLayer } from './layers.ts'
import { openLayout } from './layout.ts'
import { LocalSubstrate } from './local-substrate.ts'
import { Mounter } from './mounter/mounter.ts'
import { EMPTY_LAYER } from './overlay.ts'
import { probeHost } from './probe.ts'
import { AGENT_PARTS } from './sandbox.ts'
import { buildSkeleton } from './skeleton.ts'

export type { AgentCode, LocalSubstrateOptions, SubstrateLogger } from './host.ts'

/** Probes the host, takes over the machines that run, and clears away what an earlier Hub left half done. */
export async function createLocalSubstrate(options: LocalSubstrateOptions): Promise<LocalSubstrate> {
  const layout = await openLayout(options.dataDir)
  await mkdir(options.agentsDir, { recursive: true, mode: 0o755 })
  const [probed, skeleton, cache, groups, disk, boot] = await Promise.all([
    probeHost(layout, options),
    buildSkeleton(layout.roots, AGENT_PARTS),
    cacheFolder(layout, options),
    probeGroups(layout.dataMark, options.groups),
    statfs(layout.root),
    readFile('/proc/sys/kernel/random/boot_id', 'latin1'),
  ])
  const offer = { ...probed, findings: [...probed.findings, groups.finding] }
  const size = { cores: availableParallelism(), memoryBytes: memoryOfHost(), diskBytes: disk.blocks * disk.bsize }
  await makeLayer(layout, EMPTY_LAYER)
  const substrate = new LocalSubstrate({
    layout,
    options,
    offer,
    skeleton,
    cache,
    groups: groups.parents,
    mounter: new Mounter(offer.asRoot),
    boot,
    size,
    defaultLimits: limitsOfHost(size),
  })
  await substrate.takeOver()
  return substrate
}

/** In a container that is held to less than the host has: that. */
function memoryOfHost(): number {
  const held = process.constrainedMemory()
  return held > 0 && held < totalmem() ? held : totalmem()
}
