/** What an agent does before its machine has a project: loads its code, then waits for the token to appear. */
import { existsSync, watch } from 'node:fs'
import { basename, dirname } from 'node:path'
import process from 'node:process'

/** The Hub takes back a machine that waits for half as long; whoever waits longer has no Hub any more. */
const LONGEST_MS = 30 * 60_000

/** The name by which such an agent shows its substrate that it is ready: it has no other way to say so. */
const WAITING = 'agent-waits'

/** Resolves when the file is there; ends the process when it does not come. */
export async function waitForToken(file: string): Promise<void> {
  const there = appears(file)
  await Promise.all([import('./loop.ts'), import('./door/wire.ts'), import('./adapters/registry.ts')])
  const { title } = process
  process.title = WAITING
  await there
  process.title = title
}

function appears(file: string): Promise<void> {
  return new Promise((resolve) => {
    const tooLong = setTimeout(() => process.exit(0), LONGEST_MS)
    const watcher = watch(dirname(file), (_event, name) => {
      if (name === basename(file)) look()
    })
    const look = (): void => {
      if (!existsSync(file)) return
      clearTimeout(tooLong)
      watcher.close()
      resolve()
    }
    // It may have come before the watch began.
    look()
  })
}
