/** Runs one of the VM's tools with a clean environment, a time limit and a bounded memory of what it said. */
import { spawn } from 'node:child_process'
import { AutovibeError } from '@autovibe/contract'

const SAID_BYTES = 64 * 1024
const TOOL_ENV = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' }

/** What it said. Throws `substrate.failed` when it is not there, does not end in time, or ends with another code than 0. */
export function runTool(command: string, args: readonly string[], timeoutMs: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const child = spawn(command, args, { env: TOOL_ENV, cwd: '/', stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs, killSignal: 'SIGKILL' })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      if (said.length < SAID_BYTES) said += text
    })
  const fail = (reason: string): void => reject(new AutovibeError('substrate.failed', `${command} could not do its work in the machine.`, { internal: reason }))
  child.once('error', (error) => fail(error.message))
  child.once('close', (code, signal) => (code === 0 ? resolve(said) : fail(`ended with ${code ?? signal}: ${said.slice(0, 500)}`)))
  return promise
}
