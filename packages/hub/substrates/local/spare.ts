/** An empty layer made ahead: a machine that stands still for its next layer does not wait for the folders of one. */
import { join } from 'node:path'
import type { Host } from './host.ts'
import { discard, type Pins, withNewLayer } from './layers.ts'
import type { Layout } from './layout.ts'

export class Spare {
  readonly #layout: Layout
  readonly #pins: Pins
  #ready: { readonly layer: string; readonly unpin: () => void } | null = null

  constructor(layout: Layout, pins: Pins) {
    this.#layout = layout
    this.#pins = pins
  }

  /** Makes one unless there is one; pinned, and after a crash garbage as any layer that no file names. */
  async make(): Promise<void> {
    if (this.#ready !== null) return
    await withNewLayer(this.#layout, this.#pins, async (layer) => {
      this.#ready ??= { layer, unpin: this.#pins.add([layer]) }
    })
  }

  /** Removes the one that stands ready. */
  async end(host: Host): Promise<void> {
    const ready = this.#ready
    this.#ready = null
    if (ready === null) return
    await discard(host, join(this.#layout.layers, ready.layer))
    ready.unpin()
  }

  /** As `withNewLayer`, with the one that stands ready. */
  async use<T>(use: (layer: string) => Promise<T>): Promise<T> {
    const ready = this.#ready
    if (ready === null) return withNewLayer(this.#layout, this.#pins, use)
    this.#ready = null
    try {
      return await use(ready.layer)
    } finally {
      ready.unpin()
    }
  }
}
