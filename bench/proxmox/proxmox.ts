/** Machines as VMs of a Proxmox cluster: many at once, many to look at, and one after the other with real guests. The cluster is the stand-in of the tests. */
import { startSharedServer } from '../../packages/hub/database/testing.ts'
import type { BenchOptions, Measured } from '../support/report.ts'
import { measureCreates } from './creates.ts'
import { measureGuests } from './guests.ts'
import { measureListing } from './listing.ts'

export async function measure(options: BenchOptions): Promise<Measured> {
  const server = await startSharedServer()
  Object.assign(process.env, server.env)
  try {
    const parts = [await measureCreates(options), await measureListing(options), await measureGuests(options)]
    return {
      figures: parts.flatMap(({ figures }) => figures),
      targets: parts.flatMap(({ targets }) => targets),
      notes: [...parts.flatMap(({ notes = [] }) => notes), 'The database waits for no disk (fsync is off), as in the tests.'],
    }
  } finally {
    await server.stop()
  }
}
