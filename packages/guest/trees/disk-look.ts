/** What the tree takes on the disk: looked at from time to time by a process of lowest priority, less often the longer that takes. */
import { runTool } from '../tools.ts'

const EVERY_MS = 10_000
/** A look of a second is repeated at most every twenty. */
const REST_FACTOR = 20
const TIMEOUT_MS = 10 * 60_000

export class DiskLook {
  readonly #tree: string
  #bytes: number | null = null
  #nextAtMs = 0
  #looking: Promise<void> | null = null

  constructor(tree: string) {
    this.#tree = tree
  }

  /** What the last look has found, null before; begins another when it is time. */
  bytes(): number | null {
    if (this.#looking === null && performance.now() >= this.#nextAtMs) this.#looking = this.#look()
    return this.#bytes
  }

  async settled(): Promise<void> {
    await this.#looking
  }

  async #look(): Promise<void> {
    const begunMs = performance.now()
    try {
      const said = await runTool('nice', ['-n', '19', 'du', '-s', '-x', '--block-size=1', '--', this.#tree], TIMEOUT_MS)
      const bytes = Number.parseInt(said, 10)
      if (Number.isSafeInteger(bytes)) this.#bytes = bytes
    } catch {
      // Something vanished while it was looked at, or there is no tree yet; the next look will tell.
    } finally {
      this.#nextAtMs = performance.now() + Math.max(EVERY_MS, REST_FACTOR * (performance.now() - begunMs))
      this.#looking = null
    }
  }
}
