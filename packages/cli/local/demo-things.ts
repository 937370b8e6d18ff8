/** What the demo makes outside of its own process, and how all of it is taken away again, whatever has happened by then. */
import { randomBytes } from 'node:crypto'
import { dirname } from 'node:path'
import { AutovibeError, type MachineId } from '@autovibe/contract'
import type { Autovibe } from '@autovibe/sdk'
import { quote } from '../git/repository.ts'
import { type DemoRepository, makeDemoRepository, type ScriptedModel, startScriptedModel } from './demo-stage.ts'

const PATIENCE_MS = 30_000

/** Something of the demo that is still there, and the command that takes it away. */
export interface Remnant {
  readonly what: string
  readonly command: string
}

export class DemoThings {
  /** A name of its own: neither a person's provider nor a second demo at the same time is in the way. */
  readonly provider = `demo-${randomBytes(3).toString('hex')}`
  machines: readonly { readonly id: MachineId; readonly name: string }[] = []
  repository: DemoRepository | undefined
  readonly #client: Autovibe
  #model: ScriptedModel | undefined
  #hasProvider = false

  constructor(client: Autovibe) {
    this.#client = client
  }

  async makeRepository(): Promise<DemoRepository> {
    this.repository = await makeDemoRepository()
    return this.repository
  }

  addMachine(id: MachineId, name: string): void {
    this.machines = [...this.machines, { id, name }]
  }

  /** Starts the scripted model and makes it a provider. Not to be interrupted in between: what was begun unseen could not be taken away. */
  async makeProvider(): Promise<void> {
    this.#model = await startScriptedModel()
    this.#hasProvider = true
    await this.#client.providers.put(this.provider, {
      wire: 'anthropic',
      base_url: this.#model.url,
      key: 'demo',
      default_model: 'claude-sonnet-5',
      simulated: true,
    })
  }

  /** Takes everything away, or all but machines and repository; the answer is what went wrong. May be called again. */
  async remove(keep: boolean): Promise<Error[]> {
    const signal = AbortSignal.timeout(PATIENCE_MS)
    const errors: Error[] = []
    const tried = async (work: () => Promise<unknown>): Promise<boolean> => {
      try {
        await work()
        return true
      } catch (thrown) {
        errors.push(thrown instanceof Error ? thrown : new Error(String(thrown)))
        return false
      }
    }
    if (!keep) {
      const gone = new Set<string>()
      await Promise.all(this.machines.map(async ({ id }) => (await tried(() => this.#destroy(id, signal))) && gone.add(id)))
      this.machines = this.machines.filter(({ id }) => !gone.has(id))
      const { repository } = this
      if (repository && (await tried(() => repository.remove()))) this.repository = undefined
    }
    if (this.#hasProvider) this.#hasProvider = !(await tried(() => this.#forgetProvider(signal)))
    // Last: as long as its machine is there, an agent may be calling.
    await this.#model?.stop()
    this.#model = undefined
    return errors
  }

  /** What is there now outside of this process. */
  remnants(): Remnant[] {
    const folder = this.repository && quote(dirname(this.repository.path))
    return [
      ...this.machines.map(({ name }) => ({ what: `the machine ${name}`, command: `autovibe machine destroy ${name}` })),
      ...(this.#hasProvider ? [{ what: `the provider ${this.provider}`, command: `autovibe provider remove ${this.provider}` }] : []),
      ...(folder === undefined ? [] : [{ what: `the repository in ${folder}`, command: `rm -r ${folder}` }]),
    ]
  }

  async #destroy(id: MachineId, signal: AbortSignal): Promise<void> {
    const { operation_id } = await this.#client.machines.destroy(id, { signal })
    await this.#client.operations.wait(operation_id, { signal })
  }

  async #forgetProvider(signal: AbortSignal): Promise<void> {
    await this.#client.providers.remove(this.provider, { signal }).catch((thrown: unknown) => {
      // It never came to be: the command was interrupted before.
      if (!(thrown instanceof AutovibeError) || thrown.code !== 'not_found') throw thrown
    })
  }
}
