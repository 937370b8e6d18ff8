/** What tests of the API know of machines: what could be made of them. */
import type { Capabilities, Substrate } from '../../substrates/substrate.ts'

/** No operation runs in these tests, so of the substrate only this is asked. */
export const CAPABILITIES: Capabilities = {
  tier: { substrate: 'local', isolation: 'I3', copy: 'C3' },
  summary: 'all namespaces',
  isolated: true,
  liveSnapshot: true,
  constantTimeFork: true,
  defaultLimits: { cores: 2, memory_bytes: 2 ** 32, processes: 2048, disk_bytes: 2 ** 34, wall_seconds: 86_400 },
  most: { cores: 8, memoryBytes: 2 ** 35, diskBytes: 2 ** 39 },
}
export const substrate = { name: 'local', capabilities: () => CAPABILITIES, findings: () => [] } as unknown as Substrate
