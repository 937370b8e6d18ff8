/** A machine for tests: a tree in a temporary folder, a door server, a scripted model, and the agent as the process that it is. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { AGENT_ENV, DEFAULT_TRIGGERS, type Instructions, SOURCE_REF } from '@autovibe/contract'
import { type ScriptedModel, startScriptedModel } from '@autovibe/scripted-model'
import { DoorServer, RUN_ID, TOKEN } from './door-server.ts'

export type Run = NonNullable<Instructions['run']>

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url))

export class TestMachine {
  readonly folder: string
  readonly tree: string
  readonly project: string
  readonly home: string
  readonly door: DoorServer
  readonly model: ScriptedModel
  readonly #agentsDir: string | undefined
  #process: ChildProcess | undefined
  log = ''

  private constructor(folder: string, model: ScriptedModel, agentsDir: string | undefined) {
    this.folder = folder
    this.tree = join(folder, 'tree')
    this.project = join(this.tree, 'project')
    this.home = join(this.tree, 'home')
    this.door = new DoorServer(join(folder, 'hub.sock'))
    this.model = model
    this.#agentsDir = agentsDir
  }

  static async start(context: TestContext, script: string, options: { readonly agentsDir?: string; readonly boot?: boolean } = {}): Promise<TestMachine> {
    const folder = mkdtempSync(join(tmpdir(), 'autovibe-agent-'))
    const model = await startScriptedModel({ script: { text: script.replaceAll('{{folder}}', folder), name: 'test' } })
    const machine = new TestMachine(folder, model, options.agentsDir)
    mkdirSync(machine.project, { recursive: true })
    mkdirSync(machine.home, { recursive: true })
    writeFileSync(join(folder, 'token'), TOKEN, { mode: 0o600 })
    machine.door.modelUrl = model.url
    context.after(() => machine.#end())
    await machine.door.start()
    if (options.boot ?? true) machine.boot()
    return machine
  }

  boot(): void {
    const child = spawn(process.execPath, [MAIN], {
      env: {
        HOME: this.home,
        PATH: process.env['PATH'] ?? '/usr/bin:/bin',
        LANG: 'C.UTF-8',
        [AGENT_ENV.tree]: this.tree,
        [AGENT_ENV.socket]: this.door.socketPath,
        [AGENT_ENV.token]: join(this.folder, 'token'),
        ...(this.#agentsDir === undefined ? {} : { [AGENT_ENV.agents]: this.#agentsDir }),
      },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    child.stderr?.on('data', (chunk: Buffer) => {
      this.log += chunk.toString()
    })
    this.#process = child
  }

  /** The agent ends without a chance to say so. */
  async crash(): Promise<void> {
    const child = this.#process
    this.#process = undefined
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }

  /** The agent is told to end; resolves with its exit code. */
  async terminate(): Promise<number | null> {
    const child = this.#process
    if (!child) return null
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    const [code] = await exited
    return code
  }

  async #end(): Promise<void> {
    await this.crash()
    await this.door.stop()
    await this.model.close()
    rmSync(this.folder, { recursive: true, force: true })
  }

  run(change: Partial<Run> = {}): Run {
    return { ...ORDER, ...change }
  }

  write(path: string, content: string): void {
    const file = join(this.project, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, content)
  }

  read(path: string): string {
    return readFileSync(join(this.project, path), 'utf8')
  }

  /** A repository with these files as the source that the Hub hands out; the branch is the one that the user had. */
  offerSource(files: Readonly<Record<string, string>>, branch: string | null): { commit: string } {
    const origin = join(this.folder, 'origin')
    mkdirSync(origin)
    const git = (...args: string[]): string =>
      execFileSync('git', ['-C', origin, '-c', 'user.name=a', '-c', 'user.email=a@example.invalid', ...args], { encoding: 'utf8' }).trim()
    git('init', '--quiet')
    for (const [path, content] of Object.entries(files)) writeFileSync(join(origin, path), content)
    git('add', '.')
    git('commit', '--quiet', '-m', 'first')
    git('update-ref', SOURCE_REF, 'HEAD')
    git('bundle', 'create', '--quiet', 'source.bundle', SOURCE_REF)
    const bundle = readFileSync(join(origin, 'source.bundle'))
    this.door.bundle = bundle
    this.door.wish({ source: { sha256: createHash('sha256').update(bundle).digest('hex'), bytes: bundle.length, ref: SOURCE_REF, branch } })
    return { commit: git('rev-parse', 'HEAD') }
  }
}

const ORDER: Run = {
  id: RUN_ID,
  prompt: 'Do it',
  agent: 'builtin',
  model: 'claude-sonnet-5',
  check: null,
  resume: false,
  notice: null,
  max_steps: 50,
  triggers: { ...DEFAULT_TRIGGERS, every_minutes: 0 },
  limit: '1000000000',
}
