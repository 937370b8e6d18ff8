/** What a newcomer waits for: the demo in an installed checkout, again, and on a machine that has nothing but its own Node. */

import { existsSync } from 'node:fs'
import { cp, mkdir } from 'node:fs/promises'
import { basename, delimiter, dirname, join } from 'node:path'
import { timed } from '../support/command.ts'
import { currentNode, olderNode } from '../support/node.ts'
import { CHECKOUT, LAUNCHER, temporaryFolder } from '../support/place.ts'
import { type BenchOptions, brief, type Figure, figure, type Measured, type Target } from '../support/report.ts'

const FRESH_TIMEOUT_MS = 300_000

export async function measure({ quick, progress }: BenchOptions): Promise<Measured> {
  const figures: Figure[] = []
  const targets: Target[] = []
  const first: Demo[] = []
  const stopped: Demo[] = []
  const running: Demo[] = []
  for (let time = 0; time < (quick ? 1 : 3); time++) {
    await using folder = await temporaryFolder()
    const play = player(currentNode.path, LAUNCHER, { ...process.env, AUTOVIBE_DATA_DIR: folder.path })
    try {
      progress(`the first time on a new data directory (${time + 1})`)
      first.push(await play.demo())
      progress('again, the Hub still there')
      running.push(await play.demo())
      await play.down()
      progress('again, the Hub stopped')
      stopped.push(await play.demo())
    } finally {
      await play.down()
    }
  }
  const all = (demos: readonly Demo[]) => demos.map(({ totalS }) => totalS)
  const again = figure('demo again, the Hub stopped in between', all(stopped), { unit: 's' })
  figures.push(
    again,
    figure('demo again, the Hub still running', all(running), { unit: 's' }),
    figure('demo on a new data directory', all(first), { unit: 's', beside: again }),
  )
  for (const part of Object.keys(stopped[0]?.partsMs ?? {})) {
    figures.push(
      figure(
        `of “again, stopped”: ${part}`,
        stopped.map(({ partsMs }) => partsMs[part] ?? 0),
      ),
    )
  }
  targets.push(targetS('demo the second time (the slower of the two)', slower(again, figures[1]), 15))
  if (!quick) {
    progress('a fresh copy of the checkout: Node, packages, database, everything')
    const fresh = figure('demo on a fresh machine', [await freshDemo()], { unit: 's', beside: again })
    figures.push(fresh)
    targets.push(targetS(fresh.name, fresh, 120))
  }
  return {
    figures,
    targets,
    notes: [
      'The whole command `autovibe demo --json`, from its start to its end.',
      ...(quick
        ? []
        : [
            `Fresh: a copy of the checkout without node_modules, an empty HOME and cache, ${(olderNode() ?? currentNode).name} alone on PATH; what must be fetched comes from the npm registry as it is reached here.`,
          ]),
    ],
  }
}

const slower = (one: Figure, other: Figure | undefined): Figure => (other && other.p50 > one.p50 ? other : one)

const targetS = (name: string, { p50, n }: Figure, belowS: number): Target => ({
  name,
  goal: `< ${belowS} s`,
  measured: `${brief(p50)} s${n === 1 ? '' : ` (median of ${n})`}`,
  held: p50 < belowS,
})

interface Demo {
  readonly totalS: number
  readonly partsMs: Readonly<Record<string, number>>
}

function player(node: string, launcher: string, env: NodeJS.ProcessEnv) {
  return {
    demo: async (timeoutMs = 120_000): Promise<Demo> => {
      const { ms, stdout } = await timed(node, [launcher, 'demo', '--json', '--port', '0'], { env, timeoutMs })
      const { durations_ms, check } = JSON.parse(stdout) as { durations_ms: Record<string, number>; check: { exit_code: number } }
      if (check.exit_code !== 0) throw new Error('the demo did not get to its green test')
      const { total: _total, ...partsMs } = durations_ms
      return { totalS: ms / 1000, partsMs }
    },
    down: () => timed(node, [launcher, 'down', '--json'], { env }),
  }
}

/** Seconds of the first demo of a machine that has never seen the checkout. */
async function freshDemo(): Promise<number> {
  await using folder = await temporaryFolder()
  const checkout = join(folder.path, 'checkout')
  const home = join(folder.path, 'home')
  await mkdir(home)
  const left = new Set(['node_modules', '.git', '.autovibe'])
  await cp(CHECKOUT, checkout, { recursive: true, filter: (source) => !left.has(basename(source)) })
  const node = (olderNode() ?? currentNode).path
  const play = player(node, join(checkout, 'autovibe'), { ...bareEnvironment(node), HOME: home, AUTOVIBE_DATA_DIR: join(folder.path, 'data') })
  try {
    return (await play.demo(FRESH_TIMEOUT_MS)).totalS
  } finally {
    await play.down()
  }
}

/** Without what npm, the launcher and the user's own settings put there, and with one Node on PATH; how the network is reached stays. */
function bareEnvironment(node: string): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {}
  for (const [name, value] of Object.entries(process.env)) {
    const set =
      /^(npm_(package|lifecycle|command|execpath|node_execpath|config_(cache|.*prefix|userconfig|globalconfig|init_module|node_gyp))|XDG_|AUTOVIBE_|NODE_)/.test(
        name,
      )
    if (!set) env[name] = value
  }
  const certificates = process.env['NODE_EXTRA_CA_CERTS'] ?? process.env['AUTOVIBE_EXTRA_CA_CERTS']
  if (certificates) env['NODE_EXTRA_CA_CERTS'] = certificates
  const folders = (env['PATH'] ?? '').split(delimiter).filter((folder) => !existsSync(join(folder, 'node')) && !folder.includes('node_modules'))
  env['PATH'] = [dirname(node), ...folders].join(delimiter)
  return env
}
