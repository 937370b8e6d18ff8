/** A server of somebody else in a process of its own, on a free port of this host. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

const READY_TIMEOUT_MS = 60_000
const OUTPUT_LIMIT_BYTES = 8192

export interface PeerProcess extends AsyncDisposable {
  readonly port: number
}

/** Starts it and waits until `path` is answered; rejects with the end of what it said. It ends when it is disposed of, and with us. */
export async function startPeer(options: {
  readonly command: string
  readonly args: (port: number) => readonly string[]
  readonly path: string
  readonly env?: NodeJS.ProcessEnv
}): Promise<PeerProcess> {
  const port = await freePort()
  const args = options.args(port)
  const child = spawn(options.command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...options.env } })
  const ended = once(child, 'exit').catch((error: unknown) => [error])
  const endWithUs = () => void child.kill('SIGKILL')
  process.once('exit', endWithUs)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-OUTPUT_LIMIT_BYTES)
    })
  }
  const end = async () => {
    process.off('exit', endWithUs)
    child.kill('SIGKILL')
    await ended
  }
  const deadline = Date.now() + READY_TIMEOUT_MS
  while (!(await answers(port, options.path))) {
    if (child.exitCode === null && child.pid !== undefined && Date.now() < deadline) await delay(100)
    else {
      await end()
      throw new Error(`${options.command} did not start: ${output.trim().slice(-500)}`)
    }
  }
  return { port, [Symbol.asyncDispose]: end }
}

async function answers(port: number, path: string): Promise<boolean> {
  try {
    await (await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(2000) })).arrayBuffer()
    return true
  } catch {
    // Nobody listens there yet; the deadline says for how long that may be.
    return false
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
