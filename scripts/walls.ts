/** Runs dependency-cruiser over the packages and proves that it sees: every file is counted, and planted violations must be found. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { glob } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { cruise, type IFlattenedRuleSet } from 'dependency-cruiser'

interface Walls {
  readonly forbidden: NonNullable<IFlattenedRuleSet['forbidden']>
  readonly options: object
}

interface Plant {
  readonly file: string
  readonly imports: string
  readonly rule: string
}

/** Each breaks one wall; a rule that lets its plant stand is no rule. They import types, circles apart: a wall is about knowing, not only about running. */
const PLANTS: readonly Plant[] = [
  { file: 'packages/contract/planted.ts', imports: '../core/ids.ts', rule: 'package-contract' },
  { file: 'packages/core/planted.ts', imports: '@autovibe/sdk', rule: 'package-core' },
  { file: 'packages/cli/planted.ts', imports: '../hub/main.ts', rule: 'package-cli' },
  { file: 'packages/hub/api/planted.ts', imports: '../door/door.ts', rule: 'hub-api' },
  { file: 'packages/hub/scheduler/planted.ts', imports: '../gateway/gateway.ts', rule: 'hub-scheduler' },
  { file: 'packages/hub/operations/planted.ts', imports: '../substrates/local/planted.ts', rule: 'hub-operations' },
  { file: 'packages/hub/substrates/local/planted.ts', imports: '../../database/database.ts', rule: 'hub-substrates' },
  { file: 'packages/hub/substrates/planted/planted.ts', imports: '../local/planted.ts', rule: 'substrates-apart' },
  { file: 'packages/hub/attic/planted.ts', imports: '../runtime.ts', rule: 'hub-room-without-walls' },
  { file: 'packages/hub/ledger/planted.ts', imports: '../main.ts', rule: 'hub-main-is-the-top' },
  { file: 'packages/core/planted-clock.ts', imports: 'node:fs', rule: 'core-decides-only' },
  { file: 'packages/sdk/planted.ts', imports: 'node:path', rule: 'sdk-fetches-only' },
  { file: 'packages/agent/planted.ts', imports: './planted.test.ts', rule: 'tests-are-leaves' },
  { file: 'packages/hub/agents/planted-stand-in.ts', imports: '../../../test/proxmox/stand-in.ts', rule: 'tests-are-leaves' },
  { file: 'packages/agent/planted-egg.ts', imports: './planted-hen.ts', rule: 'no-circles' },
  { file: 'packages/agent/planted-nowhere.ts', imports: './nowhere.ts', rule: 'nothing-unresolvable' },
]

/** Everything wrong with the walls of the checkout at `root`, one sentence each; empty when they stand. */
export async function brokenWalls(root: string): Promise<string[]> {
  const walls: Walls = createRequire(import.meta.url)(join(root, '.dependency-cruiser.cjs'))
  const shadow = realpathSync(mkdtempSync(join(tmpdir(), 'autovibe-walls-')))
  try {
    const files = await copyOf(root, shadow)
    for (const { file, imports } of PLANTS) write(shadow, file, `export type { Here } from '${imports}'\n`)
    write(shadow, 'packages/agent/planted-egg.ts', "export { hen } from './planted-hen.ts'\n")
    write(shadow, 'packages/agent/planted-hen.ts', "export { egg as hen } from './planted-egg.ts'\n")
    const { output } = await cruise(['packages'], { ...walls.options, baseDir: shadow, validate: true, ruleSet: { forbidden: walls.forbidden } })
    if (typeof output === 'string') throw new Error('dependency-cruiser answered with text instead of a result')
    const { modules, summary } = output
    const seen = new Set(modules.map((module) => module.source))
    const found = new Set(summary.violations.map((violation) => `${violation.rule.name} ${violation.from}`))
    const planted = new Set(PLANTS.map((plant) => plant.file))
    return [
      ...summary.violations.filter(({ from }) => !planted.has(from)).map(({ rule, from, to }) => `${rule.name}: ${from} -> ${to}`),
      ...files.filter((file) => !seen.has(file)).map((file) => `the walls do not watch ${file}`),
      ...(summary.totalCruised < files.length + PLANTS.length ? [`only ${summary.totalCruised} modules cruised of ${files.length} files`] : []),
      ...PLANTS.filter(({ rule, file }) => !found.has(`${rule} ${file}`)).map(
        ({ rule, file, imports }) => `${rule} does not find ${file} importing ${imports}`,
      ),
    ]
  } finally {
    rmSync(shadow, { recursive: true, force: true })
  }
}

/** A copy to plant in, with `using` written as `const`: dependency-cruiser 18 reads swc's tree with a visitor that does not know such declarations. */
async function copyOf(root: string, shadow: string): Promise<string[]> {
  // What stands in test/ is not watched, but tests of the packages lead there.
  const all = await Array.fromAsync(glob(['packages/**/*.{ts,json}', 'test/**/*.ts'], { cwd: root, exclude: (path) => path.includes('node_modules') }))
  for (const file of all)
    write(shadow, file, readFileSync(join(root, file), 'utf8').replace(/\b(?:await\s+)?using\s+(?=[\w$]+\s*(?::[^=\n]*)?(?:=|of\b))/g, 'const '))
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (name.startsWith('.') || name === '@autovibe') continue
    link(join(root, 'node_modules', name), join(shadow, 'node_modules', name))
  }
  for (const name of readdirSync(join(root, 'packages'))) link(join(shadow, 'packages', name), join(shadow, 'node_modules/@autovibe', name))
  return all.filter((file) => file.startsWith('packages/') && file.endsWith('.ts'))
}

function link(target: string, path: string): void {
  mkdirSync(dirname(path), { recursive: true })
  symlinkSync(target, path)
}

function write(root: string, file: string, text: string): void {
  mkdirSync(dirname(join(root, file)), { recursive: true })
  writeFileSync(join(root, file), text)
}
