/** Opens the places that a sandboxed guest may know in its own, otherwise empty network. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Server } from 'node:net'
import type { GuestNetwork, Reachable } from './guest-network.ts'

/** In the network namespace of this process, each at its address. */
export async function openPlaces(network: GuestNetwork, pid: number, places: readonly Reachable[], isRoot: boolean): Promise<void> {
  if (places.length === 0) return
  const user = isRoot ? [] : ['--user', '--preserve-credentials']
  const listener = spawn(
    'nsenter',
    ['--target', String(pid), ...user, '--net', '--', process.execPath, new URL('netns-listener.cjs', import.meta.url).pathname, JSON.stringify(places)],
    { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], env: {}, cwd: '/' },
  )
  let opened = 0
  listener.on('message', (index, server) => {
    const place = places[index as number]
    if (!place) return void (server as Server).close()
    network.joins(server as Server, place)
    opened++
  })
  const said = await ended(listener)
  if (opened < places.length) throw new Error(`the guest's network could not be made: ${said}`)
}

async function ended(child: ChildProcess): Promise<string> {
  let said = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    said += String(chunk)
  })
  await once(child, 'close')
  return said.trim()
}
