/** `npm run check`: types, format and lint, walls, unused code; each with its duration, and a non-zero end when one of them fails. */
import { spawn } from 'node:child_process'
import { dirname, join } from 'node:path'
import { brokenWalls } from './walls.ts'

interface Outcome {
  readonly held: boolean
  readonly output: string
}

const root = dirname(import.meta.dirname)

const CHECKS: readonly { readonly name: string; readonly run: () => Promise<Outcome> }[] = [
  { name: 'types', run: () => tool('typescript/bin/tsc', ['--noEmit', '--pretty', 'false']) },
  {
    name: 'biome',
    run: () => tool('@biomejs/biome/bin/biome', ['check', '--colors=off', '--max-diagnostics=200', '--diagnostic-level=warn', '--error-on-warnings']),
  },
  { name: 'walls', run: walls },
  { name: 'knip', run: () => tool('knip/bin/knip.js', ['--no-progress']) },
]

const only = process.argv.slice(2)
const unknown = only.filter((name) => !CHECKS.some((check) => check.name === name))
if (unknown.length > 0) {
  console.error(`unknown check ${unknown.join(', ')}: choose of ${CHECKS.map((check) => check.name).join(', ')}`)
  process.exit(2)
}

const chosen = CHECKS.filter((check) => only.length === 0 || only.includes(check.name))
const results = await Promise.all(
  chosen.map(async ({ name, run }) => {
    const startedAt = performance.now()
    const outcome = await run()
    return { name, ...outcome, durationMs: performance.now() - startedAt }
  }),
)
for (const { name, held, output } of results) if (!held) console.log(`\n── ${name} ${'─'.repeat(60)}\n${output.trim()}`)
console.log()
for (const { name, held, durationMs } of results) console.log(`${held ? 'ok    ' : 'FAILED'}  ${name.padEnd(6)} ${(durationMs / 1000).toFixed(1)} s`)
process.exitCode = results.every((result) => result.held) ? 0 : 1

function tool(script: string, args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, 'node_modules', script), ...args], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    const chunks: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.on('error', reject)
    child.on('close', (code) => resolve({ held: code === 0, output: Buffer.concat(chunks).toString('utf8') }))
  })
}

async function walls(): Promise<Outcome> {
  const broken = await brokenWalls(root)
  return { held: broken.length === 0, output: broken.join('\n') }
}
