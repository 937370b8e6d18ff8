/** The agent's processes: started once for each life, held to their limits, looked at, paused for a copy of their tree, and ended with all that they have started. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { chownSync } from 'node:fs'
import { rename, rm, writeFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { AutovibeError, type GuestAgentStart } from '@autovibe/contract'
import { hasOpenForWriting } from '../trees/open-for-writing.ts'
import type { Stillness } from '../trees/trees.ts'
import { type AgentPlace, agentCommand } from './command.ts'
import { type Figures, figuresOf, NO_FIGURES } from './figures.ts'
import { type Group, leftGroups, makeGroup } from './group.ts'
import { endProcess, familyOf, listProcesses, type Process } from './processes.ts'

export interface AgentOptions extends Omit<AgentPlace, 'groupDoor' | 'mark' | 'fileBytes'> {
  readonly warn: (message: string, error: unknown) => void
}

interface Life {
  readonly id: string
  readonly group: Group | null
  readonly child: ChildProcess
  readonly tokenSha256: string
  hasEnded: boolean
}

const END_TIMEOUT_MS = 20_000
/** An agent stands still for its tree's copy no longer than this; after that the copy goes on beside it. */
const STILL_MOST_MS = 10_000
const STILL_WITHIN_MS = 500

export class Agent implements Stillness {
  readonly #options: AgentOptions
  /** Differs with each state folder, so that two guests on one host know their own. */
  readonly #name: string
  #life: Life | null = null
  #figures: Figures = NO_FIGURES
  #tail: Promise<unknown> = Promise.resolve()

  constructor(options: AgentOptions) {
    this.#options = options
    this.#name = createHash('sha256').update(options.tree).digest('hex').slice(0, 12)
  }

  get life(): string {
    return this.#life?.id ?? ''
  }

  /** Its first process; the others end with it. */
  isRunning(): boolean {
    return this.#life !== null && !this.#life.hasEnded
  }

  hasProcesses(): boolean {
    return this.isRunning() || this.#processes().length > 0
  }

  /** Ends what an earlier guest has left: nobody would know its life or its token any more. */
  async begin(): Promise<void> {
    await this.stop()
  }

  start(start: GuestAgentStart): Promise<void> {
    return this.#alone(async () => {
      const tokenSha256 = sha256(start.token)
      if (this.isRunning() && this.#life?.tokenSha256 === tokenSha256) return
      await this.#end()
      await this.#writeToken(start.token)
      const group = makeGroup(this.#name)
      group?.holdTo({ memoryBytes: start.memory_bytes, processes: start.processes })
      const { argv, env } = agentCommand({ ...this.#options, groupDoor: group?.door ?? null, mark: this.#mark, fileBytes: start.disk_bytes })
      const child = spawn(argv[0], argv.slice(1), { cwd: '/', env, detached: true, stdio: ['ignore', 'inherit', 'inherit'] })
      const life: Life = { id: randomUUID(), group, child, tokenSha256, hasEnded: false }
      child.once('exit', () => {
        life.hasEnded = true
        this.#alone(async () => {
          if (this.#life === life) await this.#end()
        }).catch((error: unknown) => this.#options.warn('what the agent has left running could not be ended', error))
      })
      const failed = once(child, 'error').then(([error]) => Promise.reject(error as Error))
      failed.catch(() => undefined)
      await Promise.race([once(child, 'spawn'), failed]).catch((error: Error) => {
        throw new AutovibeError('substrate.failed', 'The machine’s agent could not be started.', { internal: error.message })
      })
      this.#life = life
      this.#figures = NO_FIGURES
    })
  }

  stop(): Promise<void> {
    return this.#alone(() => this.#end())
  }

  figures(): Figures {
    this.#figures = figuresOf(this.#life?.group ?? null, this.#processes(), this.#figures)
    return this.#figures
  }

  isWriting(tree: string): boolean {
    const { treeAt } = this.#options
    return hasOpenForWriting(
      this.#processes().map(({ pid }) => pid),
      tree,
      treeAt === null ? [tree] : [tree, treeAt],
    )
  }

  async pause(): Promise<() => Promise<void>> {
    const group = this.#life?.group ?? null
    if (group === null || !this.isRunning() || !group.standStill(true)) return async () => undefined
    const goOn = (): void => {
      clearTimeout(latest)
      group.standStill(false)
    }
    const latest = setTimeout(goOn, STILL_MOST_MS)
    for (const until = performance.now() + STILL_WITHIN_MS; !group.isStill() && performance.now() < until; ) await delay(1)
    return async () => goOn()
  }

  get #mark(): string {
    return `AUTOVIBE_GUEST_MARK=${this.#name}`
  }

  #processes(): Process[] {
    const group = this.#life?.group ?? null
    if (group === null) return this.#family()
    const pids = new Set(group.pids())
    return listProcesses().filter(({ pid }) => pids.has(pid))
  }

  #family(): Process[] {
    const root = this.isRunning() ? (this.#life?.child.pid ?? null) : null
    return familyOf(root, { mark: this.#mark, uid: this.#options.owner?.uid ?? null })
  }

  /** What it took is looked at once more before the end; the group stays while it counts. */
  async #end(): Promise<void> {
    this.figures()
    const groups = new Set([...leftGroups(this.#name), ...(this.#life?.group ? [this.#life.group] : [])])
    const until = performance.now() + END_TIMEOUT_MS
    for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, 20)) {
      for (const group of groups) {
        group.standStill(false)
        group.end()
      }
      const left = this.#family()
      for (const process of left) endProcess(process)
      if (left.length === 0 && [...groups].every((group) => group.remove())) break
      if (performance.now() > until)
        throw new AutovibeError('substrate.failed', `${left.length} processes of the machine’s agent could not be ended.`, { retryable: true })
      await delay(waitMs)
    }
    if (this.#life !== null) this.#life.hasEnded = true
    await rm(this.#options.tokenFile, { force: true })
  }

  async #writeToken(token: string): Promise<void> {
    const { tokenFile, owner } = this.#options
    const made = `${tokenFile}.new`
    await rm(made, { force: true })
    await writeFile(made, token, { mode: 0o400, flag: 'wx' })
    if (owner !== null) chownSync(made, owner.uid, owner.gid)
    await rename(made, tokenFile)
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(work)
    this.#tail = done.catch(() => undefined)
    return done
  }
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
