/** A real Hub process on a data directory of its own, for tests that start it, kill it and look at what is left. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Autovibe } from '@autovibe/sdk'
import pg from 'pg'

const HUB_MAIN = fileURLToPath(new URL('../../packages/hub/main.ts', import.meta.url))
const READY_TIMEOUT_MS = 60_000

export interface HubProcess {
  readonly dataDir: string
  readonly client: Autovibe
  readonly pid: number
  /** Asks the embedded database; answers rows. */
  query<T>(sql: string, values?: unknown[]): Promise<T[]>
  /** Ends the process as a power cut would. */
  kill(): Promise<void>
  /** Starts it again after a kill. */
  start(): Promise<void>
  /** Processes of this host that belong to machines of this data directory, by machine id. */
  machineProcesses(): Promise<Map<string, number[]>>
  /** Ends everything and removes the data directory. */
  remove(): Promise<void>
}

export async function startHubProcess(): Promise<HubProcess> {
  const dataDir = await mkdtemp(join(tmpdir(), 'avh-'))
  let child = await launch(dataDir)
  let client = await clientOf(dataDir)
  return {
    dataDir,
    get client() {
      return client
    },
    get pid() {
      return child.pid ?? 0
    },
    async query<T>(sql: string, values: unknown[] = []) {
      const db = new pg.Client({ host: join(dataDir, 'postgres', 'socket'), port: 5432, user: 'autovibe', database: 'postgres' })
      await db.connect()
      try {
        return (await db.query(sql, values)).rows as T[]
      } finally {
        await db.end()
      }
    },
    kill: () => end(child, 'SIGKILL'),
    async start() {
      child = await launch(dataDir)
      client = await clientOf(dataDir)
    },
    machineProcesses: () => machineProcesses(dataDir),
    async remove() {
      if (child.exitCode === null && child.signalCode === null) await end(child, 'SIGTERM')
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

async function launch(dataDir: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [HUB_MAIN, '--data-dir', dataDir, '--port', '0', '--log-level', 'error'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, NODE_TEST_CONTEXT: undefined },
  })
  let errors = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    errors = `${errors}${chunk.toString()}`.slice(-8192)
  })
  const deadline = Date.now() + READY_TIMEOUT_MS
  for (;;) {
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`the Hub did not start: ${errors}`)
    const file = await hubFile(dataDir)
    if (file?.pid === child.pid) return child
    await delay(20)
  }
}

async function hubFile(dataDir: string): Promise<{ url: string; pid: number } | null> {
  const text = await readFile(join(dataDir, 'hub.json'), 'utf8').catch(() => null)
  return text ? (JSON.parse(text) as { url: string; pid: number }) : null
}

async function clientOf(dataDir: string): Promise<Autovibe> {
  const file = await hubFile(dataDir)
  const key = (await readFile(join(dataDir, 'api-key'), 'utf8')).trim()
  return new Autovibe({ url: file?.url ?? '', key })
}

function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  return new Promise((resolve) => {
    child.once('exit', () => resolve())
    child.kill(signal)
  })
}

async function machineProcesses(dataDir: string): Promise<Map<string, number[]>> {
  const found = new Map<string, number[]>()
  const owners = await ownersOfSlots(dataDir)
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const command = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '')
    const mark = command.includes(dataDir) ? /mch_[0-9a-hjkmnp-tv-z]{26}/.exec(command)?.[0] : undefined
    const machineId = mark && (owners.has(mark) ? owners.get(mark) : mark)
    if (machineId) found.set(machineId, [...(found.get(machineId) ?? []), Number(entry)])
  }
  return found
}

/** Machines that were booted in advance have another mark than their id; null for one that still waits for its project. */
async function ownersOfSlots(dataDir: string): Promise<Map<string, string | null>> {
  const local = join(dataDir, 'local')
  const owners = new Map<string, string | null>((await readdir(join(local, 'slots'))).map((slot) => [slot, null]))
  for (const machineId of await readdir(join(local, 'machines'))) {
    const slot = await readFile(join(local, 'machines', machineId, 'slot'), 'utf8').catch(() => null)
    if (slot !== null) owners.set(slot, machineId)
  }
  return owners
}
