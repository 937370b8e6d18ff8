/** All that a bench makes lies in one temporary folder, so that an interrupted one leaves nothing behind either. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { chmod, glob } from 'node:fs/promises'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

const END_TIMEOUT_MS = 20_000

/** Opens the folder as this process's and its children's TMPDIR; disposing removes it. On SIGINT and SIGTERM everything in it is ended first. */
export async function openLeftovers(): Promise<Disposable> {
  const folder = mkdtempSync(join(tmpdir(), 'avb-'))
  // When root measures, the database runs as another user and has to get through.
  await chmod(folder, 0o711)
  process.env['TMPDIR'] = folder
  const remove = () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, async () => {
      // A Hub ends its machines and its database; a database without a Hub is left to us (SIGINT is its fast shutdown).
      await endAll(folder, '**/hub.json', 'SIGTERM', (text) => (JSON.parse(text) as { pid: number }).pid)
      await endAll(folder, '**/postmaster.pid', 'SIGINT', (text) => Number(text.split('\n')[0]))
      remove()
      process.exit(128 + constants.signals[signal])
    })
  }
  return { [Symbol.dispose]: remove }
}

async function endAll(folder: string, pattern: string, signal: NodeJS.Signals, pidIn: (text: string) => number): Promise<void> {
  const deadline = Date.now() + END_TIMEOUT_MS
  for await (const file of glob(pattern, { cwd: folder, exclude: (path) => path.includes('node_modules') })) {
    const pid = pidIn(readFileSync(join(folder, file), 'utf8'))
    for (let alive = signalled(pid, signal); alive && Date.now() < deadline; alive = signalled(pid, 0)) await delay(50)
  }
}

function signalled(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}
