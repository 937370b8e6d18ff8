/** What the substrate can do on this host, as people are told before a run. */
import type { Capabilities } from '../substrate.ts'
import type { Host } from './host.ts'
import { summaryOf } from './summary.ts'

export function capabilitiesOf({ offer, defaultLimits, size }: Host): Capabilities {
  const { isolation, copy } = offer
  return {
    tier: { substrate: 'local', isolation, copy },
    summary: summaryOf(offer),
    isolated: isolation === 'I3' || isolation === 'I2',
    liveSnapshot: true,
    constantTimeFork: copy === 'C4' || copy === 'C3',
    defaultLimits,
    most: size,
  }
}
