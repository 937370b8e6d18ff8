/** What the end of a Hub has stopped, as it wrote it down last of all: by then nobody answers any more who could be asked. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface StoppedMachine {
  readonly name: string
  /** The next Hub starts it again, with what it was at. */
  readonly starts_again: boolean
}

/** Null when this process left no word: it was ended by force, or could not bring its machines to rest. */
export async function readStopped(dataDir: string, pid: number): Promise<StoppedMachine[] | null> {
  let text: string
  try {
    text = await readFile(join(dataDir, 'stopped.json'), 'utf8')
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw thrown
  }
  const written = JSON.parse(text) as { pid: number; machines: StoppedMachine[] }
  return written.pid === pid ? written.machines : null
}
