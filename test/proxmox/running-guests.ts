/** The VMs that run, whatever each is made of: one thing at a time for each, who is told when one ends by itself, and whose RAM was kept. */
import { KeyedLock } from '../../packages/hub/substrates/keyed-lock.ts'
import type { GuestNetwork } from './guest-network.ts'
import type { Boot } from './guests.ts'

export interface RunningGuest {
  readonly boot: Boot
  readonly network: GuestNetwork
}

interface Memory {
  readonly vmid: number
  /** Of the snapshot that it was kept with. */
  readonly snapshot: string
}

export class RunningGuests<G extends RunningGuest> {
  readonly all = new Map<number, G>()
  readonly #memories = new Map<string, Memory>()
  readonly #ended: ((vmid: number) => void)[] = []
  readonly #turns = new KeyedLock()

  get(vmid: number): G {
    const guest = this.all.get(vmid)
    if (!guest) throw new Error(`VM ${vmid} does not run`)
    return guest
  }

  inTurn<T>(vmid: number, work: () => Promise<T>): Promise<T> {
    return this.#turns.run(String(vmid), work)
  }

  /** `begin` is told the snapshot whose RAM the VM goes on from; null for a cold start. */
  start(boot: Boot, begin: (snapshot: string | null) => Promise<void>): Promise<void> {
    return this.inTurn(boot.vmid, async () => {
      const memory = boot.memory === null ? null : this.#memories.get(boot.memory)
      if (boot.memory !== null && memory?.vmid !== boot.vmid) throw new Error(`no RAM ${boot.memory} of VM ${boot.vmid}`)
      if (this.all.has(boot.vmid)) throw new Error(`VM ${boot.vmid} already runs`)
      await begin(memory?.snapshot ?? null)
    })
  }

  /** It runs from now on; when it ends by itself, everybody who wants to know is told. */
  began(guest: G, ended: Promise<void>): void {
    const { vmid } = guest.boot
    this.all.set(vmid, guest)
    void ended.then(() => {
      if (this.all.get(vmid) !== guest) return
      this.#forget(guest)
      for (const listener of this.#ended) listener(vmid)
    })
  }

  /** Whoever pulls the plug needs not be told. */
  async end(guest: G, kill: () => Promise<void>): Promise<void> {
    this.#forget(guest)
    await kill()
  }

  onEnded(listener: (vmid: number) => void): void {
    this.#ended.push(listener)
  }

  keepMemory(key: string | null, memory: Memory): void {
    if (key !== null) this.#memories.set(key, memory)
  }

  dropMemory(key: string | null): void {
    if (key !== null) this.#memories.delete(key)
  }

  #forget(guest: G): void {
    this.all.delete(guest.boot.vmid)
    guest.network.close()
  }
}
