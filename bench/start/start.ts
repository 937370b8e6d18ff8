/** How long a user waits before anything can be done: the Hub until it is ready, the command until its help is there. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startEmbeddedPostgres } from '../../packages/hub/database/embedded.ts'
import { repeated, timed } from '../support/command.ts'
import { currentNode, type FoundNode, olderNode } from '../support/node.ts'
import { HUB_MAIN, LAUNCHER, temporaryFolder } from '../support/place.ts'
import { type BenchOptions, type Figure, figure, type Measured, type Target, targetBelow } from '../support/report.ts'

const READY_TIMEOUT_MS = 60_000
const POLL_MS = 2

/** Hub (process alone, and by `autovibe up`) and `--help`, beside PostgreSQL alone and a bare Node. */
export async function measure({ quick, progress }: BenchOptions): Promise<Measured> {
  const figures: Figure[] = []
  const targets: Target[] = []
  const older = olderNode()

  for (const node of [currentNode, ...(older ? [older] : [])]) {
    progress(`--help by ${node.name}`)
    const times = quick ? 10 : 30
    // The first may fetch Node 24 and fills the compile cache.
    await timed(node.path, [LAUNCHER, '--help'], { timeoutMs: 300_000 })
    const bare = figure(`bare node -e 0, ${node.name}`, await repeated(times, node.path, ['-e', '0']))
    const help = figure(`autovibe --help, ${node.name}`, await repeated(times, node.path, [LAUNCHER, '--help']), { beside: bare })
    figures.push(bare, help)
    targets.push(targetBelow(help.name, help, 150))
  }

  const warm: Record<'postgres' | 'hub' | 'up', number[]> = { postgres: [], hub: [], up: [] }
  const fresh: typeof warm = { postgres: [], hub: [], up: [] }
  for (let time = 0; time < (quick ? 2 : 5); time++) {
    progress(`the Hub on a new data directory, then warm (${time + 1})`)
    for (const [what, start] of Object.entries(STARTS) as [keyof typeof warm, Start][]) {
      await using folder = await temporaryFolder()
      fresh[what].push(await start(folder.path, currentNode))
      for (let again = 0; again < (quick ? 3 : 5); again++) warm[what].push(await start(folder.path, currentNode))
    }
  }
  for (const [name, samples, belowMs] of [
    ['a new data directory', fresh, 3000],
    ['a warm start', warm, 1000],
  ] as const) {
    const postgres = figure(`PostgreSQL alone, ${name}`, samples.postgres)
    const hub = figure(`Hub process ready, ${name}`, samples.hub, { beside: postgres })
    const up = figure(`autovibe up, ${name}`, samples.up, { beside: postgres })
    figures.push(postgres, hub, up)
    targets.push(targetBelow(hub.name, hub, belowMs))
  }
  return {
    figures,
    targets,
    notes: [
      'Hub process: from spawn until hub.json names it, which is written when the API listens and the engine runs.',
      'autovibe up: the whole command, its own start, waiting and output included. Starting and ending are separate; only starting is timed.',
      ...(older ? [] : ['No older Node was found on PATH, so --help was measured under one Node only.']),
    ],
  }
}

/** Starts on a data directory, ends it again, and answers the ms that starting took. */
type Start = (dataDir: string, node: FoundNode) => Promise<number>

const STARTS: Readonly<Record<'postgres' | 'hub' | 'up', Start>> = {
  postgres: async (dataDir) => {
    const startedAt = performance.now()
    const server = await startEmbeddedPostgres({ dir: join(dataDir, 'postgres') })
    const ms = performance.now() - startedAt
    await server.stop()
    return ms
  },

  hub: async (dataDir, node) => {
    const startedAt = performance.now()
    const child = spawn(node.path, [HUB_MAIN, '--data-dir', dataDir, '--port', '0', '--log-level', 'error'], { stdio: ['ignore', 'ignore', 'inherit'] })
    try {
      await untilReady(child, dataDir)
      return performance.now() - startedAt
    } finally {
      await ended(child)
    }
  },

  up: async (dataDir, node) => {
    const env = { ...process.env, AUTOVIBE_DATA_DIR: dataDir }
    try {
      return (await timed(node.path, [LAUNCHER, 'up', '--port', '0', '--json'], { env })).ms
    } finally {
      await timed(node.path, [LAUNCHER, 'down', '--json'], { env })
    }
  },
}

async function untilReady(child: ChildProcess, dataDir: string): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS
  for (;;) {
    const text = await readFile(join(dataDir, 'hub.json'), 'utf8').catch(() => '{}')
    if ((JSON.parse(text) as { pid?: number }).pid === child.pid) return
    if (child.exitCode !== null) throw new Error(`the Hub ended with ${child.exitCode}`)
    if (performance.now() > deadline) throw new Error(`the Hub was not ready within ${READY_TIMEOUT_MS / 1000} s`)
    await delay(POLL_MS)
  }
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    child.once('exit', () => resolve())
    child.kill('SIGTERM')
  })
}
