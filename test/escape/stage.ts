/** The stage of the escape suite: real machines, a folder of the host that stands in for its secrets, and one way to try a thing outside and inside. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { MachineId, MachineLimits } from '@autovibe/contract'
import { systemRuntime } from '../../packages/hub/runtime.ts'
import { ConformanceDoor } from '../../packages/hub/substrates/conformance-door.ts'
import type { LocalSubstrate } from '../../packages/hub/substrates/local/local-substrate.ts'
import { TestGround, type Tiers } from '../../packages/hub/substrates/local/test-ground.ts'

export const asRoot = process.getuid?.() === 0
export const signal = new AbortController().signal
/** Enough for a slow host; a script that waits longer hangs. */
const TRY_TIMEOUT_MS = 60_000

/** How a try ended: 0 is that it succeeded, 1 that it was refused; anything else is a broken try. */
export interface Ended {
  readonly code: number | null
  readonly said: string
}

export class Stage {
  /** A folder of the host that only the Hub's user may enter. */
  readonly outside: string
  /** What stands in the host's secrets; who says it has read them. */
  readonly secret: string
  readonly ground: TestGround
  readonly door = new ConformanceDoor()
  readonly #limits: MachineLimits | undefined
  readonly #machines = new Map<string, MachineId>()
  #substrate: LocalSubstrate | undefined

  /** `limits`: what its machines may take, where the host's own are not wanted. */
  static async open(tiers: Tiers = {}, limits?: MachineLimits): Promise<Stage> {
    const outside = await realpath(await mkdtemp(join(tmpdir(), 'avesc-')))
    const stage = new Stage(outside, `secret-${randomBytes(8).toString('hex')}`, await TestGround.make(tiers), limits)
    await chmod(outside, 0o700)
    await writeFile(join(outside, 'secret'), stage.secret, { mode: 0o600 })
    stage.#substrate = await stage.ground.open(stage.door)
    return stage
  }

  private constructor(outside: string, secret: string, ground: TestGround, limits: MachineLimits | undefined) {
    this.outside = outside
    this.secret = secret
    this.ground = ground
    this.#limits = limits
  }

  get substrate(): LocalSubstrate {
    assert.ok(this.#substrate, 'the stage is not open')
    return this.#substrate
  }

  /** Why nothing can be tried on this host; false when machines are fenced in. */
  get weak(): string | false {
    return this.substrate.capabilities().isolated ? false : 'this host offers no sandbox'
  }

  /** The id of a machine, made and started when it is named for the first time. */
  async machine(name = 'one'): Promise<MachineId> {
    const known = this.#machines.get(name)
    if (known !== undefined) return known
    const machineId = systemRuntime.newId('machine')
    this.#machines.set(name, machineId)
    await this.substrate.create({ machineId, name, from: null, token: this.tokenOf(name), limits: this.#limits }, signal)
    await this.substrate.start(machineId, signal)
    return machineId
  }

  /** The id of a machine that was made before. */
  id(name = 'one'): MachineId {
    const machineId = this.#machines.get(name)
    assert.ok(machineId, `there is no machine ${name}`)
    return machineId
  }

  tokenOf(name = 'one'): string {
    return `token-of-${name}-${this.secret}`
  }

  async inside(script: string, name = 'one'): Promise<Ended> {
    const { code, output } = await this.door.run(await this.machine(name), script)
    return { code, said: output.toString('utf8').trim() }
  }

  /** On the host, as whoever runs the Hub. */
  onHost(script: string, through: readonly string[] = []): Promise<Ended> {
    const [command = 'sh', ...args] = [...through, 'sh', '-c', script]
    const { promise, resolve, reject } = Promise.withResolvers<Ended>()
    const child = spawn(command, args, { cwd: this.outside, stdio: ['ignore', 'pipe', 'pipe'], timeout: TRY_TIMEOUT_MS })
    let said = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        said += chunk.toString('utf8')
      })
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, said: said.trim() }))
    return promise
  }

  async close(): Promise<void> {
    for (const machineId of this.#machines.values()) await this.substrate.destroy(machineId, signal)
    await this.door.closeAll()
    await this.ground.dispose()
    await rm(this.outside, { recursive: true, force: true })
  }
}

export interface Attempt {
  /** A shell script that ends with 0 when the attempt succeeded and with 1 when it was refused. Asked for when the machine `one` runs. */
  readonly script: (stage: Stage) => string
  /** What the script is put through outside, for instance a namespace of its own; the host's own shell without it. */
  readonly through?: readonly string[]
  /** The script to prove it by outside, where the one for inside names what only a machine has. */
  readonly outside?: (stage: Stage) => string
  /** The host may be fenced in itself; then it is skipped with what the host said. */
  readonly hostMayRefuse?: boolean
  /** Why it cannot be proved here. */
  readonly skip?: string | false
}

/** Registers one attempt as a test: it succeeds outside, and is refused inside. */
export function attempt(stage: () => Stage, name: string, plan: Attempt): void {
  test(name, async (t) => {
    const on = stage()
    const skip = plan.skip || on.weak
    if (skip !== false) return t.skip(skip)
    await on.machine()
    const outside = await on.onHost((plan.outside ?? plan.script)(on), plan.through)
    if (outside.code === 1 && plan.hostMayRefuse) return t.skip(`the host refuses it too: ${outside.said.slice(0, 160)}`)
    assert.equal(outside.code, 0, `it does not even succeed outside (${outside.code}): ${outside.said}`)
    refused(t, await on.inside(plan.script(on)))
  })
}

/** A try that was refused, and says why; one that is broken proves nothing. */
export function refused(t: TestContext, { code, said }: Ended): void {
  assert.notEqual(code, 0, `it succeeds: ${said.slice(0, 2000)}`)
  assert.equal(code, 1, `the attempt itself is broken (${code}): ${said.slice(0, 2000)}`)
  t.diagnostic(`refused: ${said.split('\n').at(-1)?.slice(0, 160) || 'without a word'}`)
}
