/** The real command as processes in a place of its own: data directory, settings and temporary files, all removed at the end. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Problem } from '@autovibe/contract'
import { Autovibe } from '@autovibe/sdk'
import type { z } from 'zod'

const MAIN = fileURLToPath(new URL('../../packages/cli/main.ts', import.meta.url))
const TIMEOUT_MS = 180_000
const LOOK_EVERY_MS = 20
/** Lines of a Hub's log beside a command that did not end. */
const LAST_WORDS = 40

export interface Result {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface CallOptions {
  readonly env?: NodeJS.ProcessEnv
  /** What stands on standard input. */
  readonly input?: string
  readonly timeoutMs?: number
  /** A command that takes the real one as its last arguments, for instance to give it another view of the host. */
  readonly through?: readonly string[]
  /** The exit code that belongs to the document; 0 without it. */
  readonly exit?: number
}

/** A command that has not ended yet. */
export interface Running {
  /** Ends the command with a signal; the answer is how it ended. */
  signal(name: NodeJS.Signals): Promise<Result>
  readonly ended: Promise<Result>
  /** The first record of this type on standard output; rejects when the command ends without it. */
  record(type: string): Promise<Readonly<Record<string, unknown>>>
}

export interface Place {
  readonly folder: string
  readonly dataDir: string
  /** Where its processes put temporary files. */
  readonly temporary: string
  run(args: readonly string[], options?: CallOptions): Promise<Result>
  start(args: readonly string[], options?: CallOptions): Running
  /** The one document that the command prints with --json, by its schema. */
  json<S extends z.ZodType>(schema: S, args: readonly string[], options?: CallOptions): Promise<z.infer<S>>
  /** The one error that the command ends with, the same in both of its forms; it must say how to fix it. */
  refusal(args: readonly string[], options?: CallOptions): Promise<Problem & { readonly exit: number | null }>
  /** The Hub of the data directory, for what is looked at behind the command's back. */
  client(): Promise<Autovibe>
  /** Processes of this host that name the data directory in their command line. */
  processes(): Promise<Map<number, string>>
  remove(): Promise<void>
}

export async function makePlace(): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), 'ave-'))
  // As root the database is another user, who must get through.
  await chmod(folder, 0o755)
  const dataDir = join(folder, 'data')
  const temporary = join(folder, 'tmp')
  await mkdir(temporary)
  const environment = cleanEnvironment({ AUTOVIBE_DATA_DIR: dataDir, AUTOVIBE_PORT: '0', TMPDIR: temporary, XDG_CONFIG_HOME: join(folder, 'config') })
  const living = new Set<ChildProcess>()
  const start = (args: readonly string[], options: CallOptions = {}) => startCommand(args, options, environment, folder, living)
  const run = (args: readonly string[], options?: CallOptions) => start(args, options).ended
  return {
    folder,
    dataDir,
    temporary,
    run,
    start,
    async json(schema, args, options) {
      const result = await run([...args, '--json'], options)
      assert.deepEqual([result.code, result.stderr], [options?.exit ?? 0, ''], args.join(' '))
      const lines = result.stdout.trimEnd().split('\n')
      assert.equal(lines.length, 1, result.stdout)
      return schema.parse(JSON.parse(lines[0] ?? ''))
    },
    async refusal(args, options) {
      const forPeople = await run(args, options)
      const forPrograms = await run([...args, '--json'], options)
      assert.equal(forPrograms.stdout, '')
      assert.equal(forPrograms.stderr.trimEnd().split('\n').length, 1, forPrograms.stderr)
      const problem = Problem.parse(JSON.parse(forPrograms.stderr))
      assert.equal(forPeople.code, forPrograms.code)
      assert.ok(problem.fix, `it says how to fix it: ${problem.detail}`)
      assert.ok(forPeople.stderr.includes(`(${problem.code})`), forPeople.stderr)
      assert.ok(forPeople.stderr.includes(problem.fix), forPeople.stderr)
      return { ...problem, exit: forPrograms.code }
    },
    async client() {
      const { url } = JSON.parse(await readFile(join(dataDir, 'hub.json'), 'utf8')) as { url: string }
      return new Autovibe({ url, key: (await readFile(join(dataDir, 'api-key'), 'utf8')).trim() })
    },
    processes: () => processesOf(dataDir),
    async remove() {
      for (const child of living) child.kill('SIGKILL')
      await run(['down'])
      // What a failing test may have left; the path is ours alone.
      for (const pid of (await processesOf(dataDir)).keys()) end(pid)
      for (const deadline = Date.now() + TIMEOUT_MS; (await processesOf(dataDir)).size > 0 && Date.now() < deadline; ) await delay(LOOK_EVERY_MS)
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

/** Looks again and again until there is an answer, and fails with `what` when there is none in time. */
export async function until<T>(what: string, look: () => Promise<T | undefined | false> | T | undefined | false): Promise<T> {
  const deadline = Date.now() + TIMEOUT_MS
  for (; Date.now() < deadline; await delay(LOOK_EVERY_MS)) {
    const found = await look()
    if (found !== undefined && found !== false) return found
  }
  throw new Error(`In vain waited for: ${what}`)
}

/** What the Hub wrote last: the reason why a command waits is in there or nowhere. */
function lastWords(dataDir: string): string {
  const path = join(dataDir, 'hub.log')
  return existsSync(path)
    ? `The end of its Hub's log:\n${readFileSync(path, 'utf8').trimEnd().split('\n').slice(-LAST_WORDS).join('\n')}`
    : 'There is no log of a Hub.'
}

/** Nothing of the caller's own settings, keys or test runner reaches a command. */
function cleanEnvironment(own: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(AUTOVIBE_(?!EXTRA_CA_CERTS)|ANTHROPIC_|CLAUDE|GIT_|NODE_TEST_|DATABASE_URL$|(NO|FORCE)_COLOR$)/.test(name),
  )
  return {
    ...Object.fromEntries(inherited),
    PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}`,
    NODE_COMPILE_CACHE: join(tmpdir(), 'node-compile-cache'),
    GIT_CONFIG_GLOBAL: '/dev/null',
    ...own,
  }
}

function startCommand(args: readonly string[], options: CallOptions, environment: NodeJS.ProcessEnv, cwd: string, living: Set<ChildProcess>): Running {
  const [command = process.execPath, ...more] = [...(options.through ?? []), process.execPath, MAIN, ...args]
  const child = spawn(command, more, { cwd, env: { ...environment, ...options.env }, stdio: ['pipe', 'pipe', 'pipe'] })
  living.add(child)
  let [stdout, stderr, late] = ['', '', false]
  const lookers = new Set<() => void>()
  const look = () => {
    for (const looker of lookers) looker()
  }
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString()
    look()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  // A command that does not read its input may end before all of it is written.
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.input ?? '')
  const timer = setTimeout(() => {
    late = true
    child.kill('SIGKILL')
  }, options.timeoutMs ?? TIMEOUT_MS)
  const ended = new Promise<Result>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => {
      clearTimeout(timer)
      living.delete(child)
      if (late) reject(new Error(`autovibe ${args.join(' ')} did not end.\n${stdout}\n${stderr}\n${lastWords(environment['AUTOVIBE_DATA_DIR'] ?? '')}`))
      else resolve({ code, stdout, stderr })
    })
  })
  // Whoever started it waits for its end sooner or later; until then a failure is no unhandled one.
  ended.catch(() => undefined)
  return {
    ended,
    async signal(name) {
      child.kill(name)
      return ended
    },
    async record(type) {
      const found = Promise.withResolvers<Readonly<Record<string, unknown>>>()
      const looker = () => {
        const record = recordsOf(stdout).find((each) => each['type'] === type)
        if (record) found.resolve(record)
      }
      lookers.add(looker)
      looker()
      const gone = ended.then((result) => {
        throw new Error(`The command ended (${result.code}) without a record ${type}.\n${result.stdout}\n${result.stderr}`)
      })
      return Promise.race([found.promise, gone]).finally(() => lookers.delete(looker))
    },
  }
}

/** The whole lines of standard output as what they say. */
export function recordsOf(stdout: string): Readonly<Record<string, unknown>>[] {
  return stdout
    .slice(0, stdout.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

async function processesOf(dataDir: string): Promise<Map<number, string>> {
  const found = new Map<number, string>()
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const command = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '')
    if (command.includes(dataDir)) found.set(Number(entry), command.replaceAll('\0', ' ').trim())
  }
  return found
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    // It has ended since it was seen.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
