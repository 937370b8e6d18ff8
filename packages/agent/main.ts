/**
 * Starts the agent of a machine: registers at the Hub with the least code that can, then loads the rest.
 * `main.ts warm` loads everything and ends, which fills the folder that NODE_COMPILE_CACHE names: without such a cache Node strips the types of every
 * file at every start (measured on 2 cores: 96 ms until registered, 54 ms with it; the folder may be read-only).
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import type { AGENT_ENV } from '@autovibe/contract'
import { firstContact } from './door/first-contact.ts'
import { AGENT_VERSION } from './version.ts'

/** Written out, because importing the contract loads Zod, and a machine is registered before that; the type keeps the names the same. */
const ENV: typeof AGENT_ENV = { tree: 'AUTOVIBE_TREE', socket: 'AUTOVIBE_SOCKET', token: 'AUTOVIBE_TOKEN_FILE', agents: 'AUTOVIBE_AGENTS_DIR' }

if (process.argv[2] === 'warm') {
  await import('./loop.ts')
  const { adapterOf, ALL_AGENTS } = await import('./adapters/registry.ts')
  await Promise.all(ALL_AGENTS.map(adapterOf))
  process.exit(0)
}

const tree = required(ENV.tree)
const socket = required(ENV.socket)
const tokenFile = required(ENV.token)
// A machine that was booted in advance learns whose it is by its token; until then it loads what it will need.
if (!existsSync(tokenFile)) await (await import('./wait-for-token.ts')).waitForToken(tokenFile)
const token = readFileSync(tokenFile, 'utf8').trim()
const home = process.env['HOME'] ?? join(tree, 'home')
// No secret: it only has to differ from the machine's other boots, and loading node:crypto would take 4 ms of those until it is registered.
const bootId = [Date.now(), Math.random() * 2 ** 52, Math.random() * 2 ** 52].map((part) => Math.floor(part).toString(36)).join('')

const early = await firstContact(socket, token, { boot_id: bootId, agent_version: AGENT_VERSION })

const { DoorWire } = await import('./door/wire.ts')
const wire = new DoorWire(socket, token)
const registered = early ?? (await (await import('./door/register.ts')).register(wire, bootId))

const { live } = await import('./loop.ts')
await live({
  wire,
  bootId,
  machineId: registered.machine_id,
  heartbeatMs: registered.heartbeat_ms,
  token,
  paths: { tree, project: join(tree, 'project'), home, socket, agents: process.env[ENV.agents] ?? null },
})

function required(name: string): string {
  const value = process.env[name]
  if (value !== undefined && value !== '') return value
  process.stderr.write(`The environment variable ${name} is not set. A substrate starts this program; it is not meant to be started by hand.\n`)
  process.exit(2)
}
