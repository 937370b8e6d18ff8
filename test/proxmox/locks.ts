/** Proxmox's file and cluster locks: shared or exclusive, waited for with a time-out, and lost with its words. */
import { died, type Refusal } from './answers.ts'
import type { Clock } from './clock.ts'

const DEFAULT_TIMEOUT_S = 10

export interface LockRequest {
  readonly shared?: boolean
  readonly timeoutS?: number
}

interface Waiting {
  readonly shared: boolean
  readonly granted: () => void
}
interface Lock {
  holders: number
  exclusive: boolean
  readonly waiting: Waiting[]
}

/** A VM's lock on its node. */
export const vmLock = (node: string, vmid: number): string => `${node}:/var/lock/qemu-server/lock-${vmid}.conf`
/** A storage's lock: a file on the node of a local one, a cluster lock of a shared one. */
export const storageLock = (node: string, storage: string, shared: boolean): string =>
  shared ? `cfs:storage-${storage}` : `${node}:/var/lock/pve-manager/pve-storage-${storage}`

/** One vzdump at a time on a node. */
export const backupLock = (node: string): string => `${node}:/var/run/vzdump.lock`

export class Locks {
  readonly #locks = new Map<string, Lock>()
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Runs `work` while the lock is held. */
  async within<T>(name: string, work: () => Promise<T>, request: LockRequest = {}): Promise<T> {
    await this.#acquire(name, request)
    try {
      return await work()
    } finally {
      this.#release(name)
    }
  }

  /** Holds a lock for a while, as another process of that node would. */
  async hold(name: string, seconds: number): Promise<void> {
    await this.within(name, () => this.#clock.wait(seconds), { timeoutS: 3600 })
  }

  /** How many hold or await it. */
  pressure(name: string): number {
    const lock = this.#locks.get(name)
    return lock ? lock.holders + lock.waiting.length : 0
  }

  async #acquire(name: string, request: LockRequest): Promise<void> {
    const shared = request.shared === true
    const lock = this.#locks.get(name) ?? { holders: 0, exclusive: false, waiting: [] }
    this.#locks.set(name, lock)
    if (lock.waiting.length === 0 && grantable(lock, shared)) return take(lock, shared)
    await new Promise<void>((resolve, reject) => {
      const waiting: Waiting = { shared, granted: () => (clearTimeout(timer), resolve()) }
      const timer = setTimeout(
        () => {
          lock.waiting.splice(lock.waiting.indexOf(waiting), 1)
          this.#advance(name, lock)
          reject(timedOut(name))
        },
        this.#clock.ms(request.timeoutS ?? DEFAULT_TIMEOUT_S),
      )
      lock.waiting.push(waiting)
    })
  }

  #release(name: string): void {
    const lock = this.#locks.get(name)
    if (!lock) throw new Error(`the lock ${name} was never taken`)
    lock.holders -= 1
    this.#advance(name, lock)
  }

  #advance(name: string, lock: Lock): void {
    for (let next = lock.waiting[0]; next && grantable(lock, next.shared); next = lock.waiting[0]) {
      lock.waiting.shift()
      take(lock, next.shared)
      next.granted()
    }
    if (lock.holders === 0 && lock.waiting.length === 0) this.#locks.delete(name)
  }
}

const grantable = (lock: Lock, shared: boolean): boolean => lock.holders === 0 || (shared && !lock.exclusive)

function take(lock: Lock, shared: boolean): void {
  lock.holders += 1
  lock.exclusive = !shared
}

function timedOut(name: string): Refusal {
  const cluster = /^cfs:(.+)$/.exec(name)?.[1]
  return died(
    cluster === undefined ? `can't lock file '${name.slice(name.indexOf(':') + 1)}' - got timeout` : `cfs-lock '${cluster}' error: got lock request timeout`,
  )
}
