/** Where the checkout lies, and folders that go away with their measurement. */
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export const CHECKOUT = dirname(dirname(import.meta.dirname))
export const LAUNCHER = join(CHECKOUT, 'autovibe')
export const HUB_MAIN = join(CHECKOUT, 'packages/hub/main.ts')

/** A new empty folder; removed when it is disposed of. Short, because sockets lie in it. */
export async function temporaryFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'avb-'))
  // When root measures, the database runs as another user and has to get through.
  await chmod(path, 0o711)
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}
