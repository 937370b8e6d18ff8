/** One Hub per data directory: the lock is a socket that the kernel takes back when its process ends, however it ends. */
import { createHash } from 'node:crypto'
import { realpath, rm } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { AutovibeError } from '@autovibe/contract'

/** Takes the lock or throws `hub.already_running`; the answer gives it back. */
export async function lockDataDir(dataDir: string): Promise<() => Promise<void>> {
  const address = await lockAddress(dataDir)
  const server = createServer((socket) => socket.destroy())
  try {
    await listen(server, address)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    throw new AutovibeError('hub.already_running', `A Hub already runs on ${dataDir}.`, { fix: 'autovibe ps shows what it does; autovibe down ends it.' })
  }
  server.unref()
  return () => new Promise((resolve) => server.close(() => resolve()))
}

/** Linux has names that are no files and vanish with their process; elsewhere a socket file that nobody answers on is taken away. */
async function lockAddress(dataDir: string): Promise<string> {
  const path = await realpath(dataDir)
  if (process.platform === 'linux') return `\0autovibe-hub-${createHash('sha256').update(path).digest('hex').slice(0, 40)}`
  const socket = join(path, 'hub.lock')
  if (!(await answers(socket))) await rm(socket, { force: true })
  return socket
}

function listen(server: Server, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(address, () => resolve())
  })
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
