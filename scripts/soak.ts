/** `npm run soak -- NAME --seeds N`: plays a random test of the suite for longer than `npm test` does; a seed that fails is named and can be played alone. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const root = join(import.meta.dirname, '..')

interface Soak {
  readonly file: string
  /** What one seed is. */
  readonly about: string
  /** The file plays one seed: it is started anew for each. */
  readonly isOne?: true
}

const SOAKS: Readonly<Record<string, Soak>> = {
  proxmox: { file: 'packages/hub/substrates/proxmox/faults.test.ts', about: 'an operation among failures of Proxmox, with real guests' },
  archives: { file: 'packages/hub/substrates/proxmox/archives/archive-faults.test.ts', about: 'an archive of a machine among failures of Proxmox' },
  'local-crashes': { file: 'packages/hub/substrates/local/crash.test.ts', about: 'a Hub killed within a call of the local substrate' },
  histories: { file: 'packages/hub/checkpoints/histories.test.ts', about: 'a history of edits, checkpoints, rollbacks and forks against a model of the tree' },
  store: { file: 'packages/hub/checkpoints/killed.test.ts', about: 'a process killed while it writes to the store' },
  patches: { file: 'packages/hub/checkpoints/diff/random-trees.test.ts', about: 'the patch between two random trees, applied by git' },
  overspend: { file: 'test/overspend.test.ts', about: 'ten thousand calls of 64 spenders, the gateway killed among them', isOne: true },
  'hub-kills': { file: 'test/killed-hub.test.ts', about: 'a Hub killed while it works, ten times', isOne: true },
}

const { name, count, first } = read()
const soak = SOAKS[name] ?? usage(`There is no soak ${name}.`)
const failed: number[] = []
if (soak.isOne) for (let seed = first; seed < first + count; seed++) if ((await play(soak, seed, 1)) !== 0) failed.push(seed)
const code = soak.isOne ? Number(failed.length > 0) : await play(soak, first, count)
console.error(code === 0 ? `${count} seeds from ${first} on: none failed` : told())
process.exitCode = code

function told(): string {
  const replay = (seed: number | string): string => `npm run soak -- ${name} --seeds 1 --from ${seed}`
  return failed.length > 0
    ? failed.map((seed) => `seed ${seed} failed: ${replay(seed)}`).join('\n')
    : `failed; to play the seed that is named above alone: ${replay('SEED')}`
}

function play({ file }: Soak, seed: number, seeds: number): Promise<number> {
  const env = { ...process.env, AUTOVIBE_SEED: String(seed), AUTOVIBE_SEEDS: String(seeds), AUTOVIBE_TEST_TIMEOUT_MS: '0' }
  const child = spawn(process.execPath, [join(root, 'scripts/test.ts'), join(root, file)], { cwd: root, stdio: 'inherit', env })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal))
  return new Promise((done, broke) => child.once('error', broke).once('close', (code) => done(code ?? 1)))
}

function read(): { readonly name: string; readonly count: number; readonly first: number } {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { seeds: { type: 'string', default: '100' }, from: { type: 'string' }, help: { type: 'boolean' } },
    })
    const [name, ...more] = positionals
    if (values.help === true || name === undefined || more.length > 0) return usage(name === undefined ? 'Name a soak.' : 'One soak at a time.')
    return { name, count: whole('--seeds', values.seeds), first: whole('--from', values.from ?? String(Date.now() % 1_000_000)) }
  } catch (error) {
    return usage(error instanceof Error ? error.message : String(error))
  }
}

function whole(option: string, text: string): number {
  return /^[1-9]\d{0,5}$|^0$/.test(text) ? Number(text) : usage(`${option} takes a whole number below a million, not ${text}.`)
}

function usage(reason: string): never {
  const names = Object.entries(SOAKS).map(([each, { about }]) => `  ${each.padEnd(14)} ${about}`)
  console.error([reason, '', 'npm run soak -- NAME [--seeds N] [--from SEED]', ...names].join('\n'))
  process.exit(2)
}
