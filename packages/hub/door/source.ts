/** The git bundle that a machine with an empty tree starts from. */
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { AutovibeError } from '@autovibe/contract'
import type { DoorApp, DoorContext } from './door.ts'
import { instructionsFor } from './instructions.ts'

export function sourceRoutes(app: DoorApp, context: DoorContext): void {
  app.get('/door/source', async ({ machineId }, reply) => {
    const { source } = await instructionsFor(context, machineId)
    if (!source) throw new AutovibeError('conflict.state', 'This machine starts from a checkpoint, not from a source.')
    return reply
      .type('application/x-git-bundle')
      .header('content-length', source.bytes)
      .send(createReadStream(join(context.dataDir, 'sources', `${source.sha256}.bundle`)))
  })
}
