/** What wrk, where there is one, gets out of the bare upstream: whether our own generator is the narrow place. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { timed } from '../support/command.ts'
import { temporaryFolder } from '../support/place.ts'
import type { CallShape } from './shapes.ts'

/** Calls a second over so many connections; null when there is no wrk. */
export async function wrkPerSecond(port: number, { body }: CallShape, connections: number, seconds: number): Promise<number | null> {
  await using folder = await temporaryFolder()
  const script = join(folder.path, 'call.lua')
  // JSON's own strings have no long bracket with so many signs in it.
  await writeFile(script, `wrk.method = "POST"\nwrk.headers["content-type"] = "application/json"\nwrk.body = [====[${body.toString()}]====]\n`)
  const url = `http://127.0.0.1:${port}/v1/messages`
  try {
    const { stdout } = await timed('wrk', ['-t1', `-c${connections}`, `-d${seconds}s`, '-s', script, url])
    if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(`wrk met errors: ${stdout}`)
    return Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1])
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
