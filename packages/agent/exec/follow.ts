/** Takes up the commands of people that the Hub's document names, each once, beside whatever run is under way. */
import type { ExecId, Instructions } from '@autovibe/contract'
import type { Paths } from '../adapters/adapter.ts'
import { log, wordsOf } from '../log.ts'

export interface ExecHost {
  readonly token: string
  readonly paths: Paths
}

/** Runs until the signal is aborted. A command that breaks is logged and ends nothing else. */
export async function followExecs(
  wishes: { newerThan(revision: number, signal: AbortSignal): Promise<Instructions> },
  host: ExecHost,
  signal: AbortSignal,
): Promise<void> {
  let taken = new Set<ExecId>()
  for (let revision = 0; !signal.aborted; ) {
    const document = await wishes.newerThan(revision, signal).catch(() => undefined)
    if (!document) return
    revision = document.revision
    for (const id of document.execs) if (!taken.has(id)) void takeUp(id, host)
    // One that the Hub no longer names has been dialled or given up, and is not named again.
    taken = new Set(document.execs)
  }
}

async function takeUp(id: ExecId, host: ExecHost): Promise<void> {
  try {
    // Loaded at the first command, because few machines are looked into.
    const [{ dial }, { runExec }] = await Promise.all([import('./dial.ts'), import('./exec.ts')])
    await runExec(dial(host.paths.socket, host.token, id), host.paths)
  } catch (error) {
    log('a command of a person broke', { exec: id, reason: wordsOf(error) })
  }
}
