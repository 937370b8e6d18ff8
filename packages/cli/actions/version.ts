/** Shows versions. */
import { AutovibeError } from '@autovibe/contract'
import type { Action } from '../commands/define.ts'
import { VERSION } from '../local/version.ts'
import { fields } from '../render/resources.ts'

export const version: Action<unknown> = async (context) => {
  const hub = await context
    .connect()
    .then((client) => client.hub.health({ signal: context.signal }))
    .catch((thrown: unknown) => {
      // Versions can be asked for without a Hub.
      if (thrown instanceof AutovibeError) return null
      throw thrown
    })
  context.out.answer(
    { cli: VERSION, node: process.version, hub: hub?.version ?? null },
    fields([
      ['autovibe', VERSION],
      ['node', process.version],
      ['hub', hub?.version ?? 'does not run'],
    ]),
  )
  return 0
}
