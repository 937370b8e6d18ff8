/** `npm run bench -- NAME [--quick] [--json]`: one measurement, as a table or as one JSON document. */
import { parseArgs } from 'node:util'
import { openLeftovers } from './support/leftovers.ts'
import { describeMachine } from './support/machine.ts'
import { renderReport } from './support/render.ts'
import type { Bench, Report } from './support/report.ts'

const BENCHES: Readonly<Record<string, { readonly about: string; readonly load: () => Promise<Bench> }>> = {
  start: { about: 'until the Hub is ready, warm and on a new data directory, and until --help is there', load: () => import('./start/start.ts') },
  spawn: { about: 'spawn to registered, checkpoint to frozen and verified, fork and rollback to ready', load: () => import('./spawn/spawn.ts') },
  api: { about: 'GET /v1/machines with 1,000 machines, and GET /v1/health', load: () => import('./api/api.ts') },
  demo: { about: 'autovibe demo, the second time and on a fresh machine', load: () => import('./demo/demo.ts') },
  gateway: {
    about: 'model calls through the gateway beside direct ones and beside Portkey and LiteLLM; 1,000 live streams',
    load: () => import('./gateway/gateway.ts'),
  },
  checkpoints: {
    about: 'the checkpoint store beside restic and git: first, 1 % changed, nothing changed, restore, verify, space, memory',
    load: () => import('./checkpoints/checkpoints.ts'),
  },
  proxmox: {
    about: 'on a stand-in cluster: 50 machines at once over 4 nodes, 1,000 VMs listed and reconciled, and spawn to rollback with real guests',
    load: () => import('./proxmox/proxmox.ts'),
  },
}

const usage = (): string => {
  const width = Math.max(...Object.keys(BENCHES).map((name) => name.length))
  return ['npm run bench -- NAME [--quick] [--json]', '', ...Object.entries(BENCHES).map(([name, { about }]) => `  ${name.padEnd(width)}  ${about}`)].join('\n')
}

process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  const asked = readArgs(args)
  if (asked === null) return 2
  if (asked.name === undefined) {
    console.log(usage())
    return 0
  }
  const bench = Object.hasOwn(BENCHES, asked.name) ? await BENCHES[asked.name]?.load() : undefined
  if (!bench) {
    console.error(`There is no bench ${JSON.stringify(asked.name)}.\n\n${usage()}`)
    return 2
  }
  using _folder = await openLeftovers()
  const machine = describeMachine()
  const measured = await bench.measure({ quick: asked.quick, progress: (text) => console.error(`… ${text}`) })
  const report: Report = { bench: asked.name, quick: asked.quick, machine: machine(), ...measured }
  console.log(asked.json ? JSON.stringify(report) : renderReport(report))
  return 0
}

function readArgs(args: readonly string[]): { name: string | undefined; quick: boolean; json: boolean } | null {
  try {
    const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options: { quick: { type: 'boolean' }, json: { type: 'boolean' } } })
    if (positionals.length > 1) throw new TypeError('One bench at a time: two would measure each other.')
    return { name: positionals[0], quick: values.quick ?? false, json: values.json ?? false }
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${usage()}`)
    return null
  }
}
