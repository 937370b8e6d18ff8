/** Small files of this host, read and written by threads of their own, many at a time: the Hub's own thread is free meanwhile. */
import { Worker } from 'node:worker_threads'
import { AutovibeError } from '@autovibe/contract'
import type { Answer, Failure, Order, ReadOrder, WriteOrder } from './thread.ts'

/** Files of one order, and their bytes together: what a thread is given at once. A larger file goes alone. */
const FILES_MAX = 64
const TOGETHER_BYTES = 512 * 1024
/** Of one file. */
const BYTES_MAX = 2 * 1024 * 1024
/** It makes little garbage; left to itself, V8 would let that grow to 64 MiB and more in each thread. */
const THREAD_LIMITS = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 }
/** A thread that nobody needs takes some 20 MiB for nothing. */
const IDLE_MS = 5_000
const HASH_BYTES = 32

export interface ReadFile {
  readonly bytes: Buffer
  /** Hex. */
  readonly sha256: string
}

/** Why a file could not be read or written; `code` as in thread.ts. */
export class FileFailure extends Error {
  override readonly name = 'FileFailure'
  readonly code: string

  constructor({ code, message }: Failure) {
    super(message)
    this.code = code
  }
}

interface Waiting<Wish, Result> {
  readonly wish: Wish
  readonly size: number
  readonly resolve: (result: Result) => void
  readonly reject: (error: unknown) => void
}
type WaitingRead = Waiting<ReadOrder, ReadFile>
type WaitingWrite = Waiting<WriteOrder & { readonly content: Uint8Array }, void>

interface Thread {
  readonly worker: Worker
  /** What it works on; null when it rests. */
  order: { readonly answer: (answer: Answer) => void; readonly fail: (error: unknown) => void } | null
  idle: NodeJS.Timeout | undefined
}

export class HostFiles {
  readonly #threadsMax: number
  readonly #threads = new Set<Thread>()
  readonly #reads: WaitingRead[] = []
  readonly #writes: WaitingWrite[] = []
  /** Of writes that have ended: what is copied to a thread would else be garbage as soon as it is written. */
  readonly #free: ArrayBuffer[] = []
  #last = 0
  #lastWasRead = false

  constructor(threadsMax: number) {
    this.#threadsMax = threadsMax
  }

  /** All of a file that is `size` bytes long, at most 2 MiB, without following a link. Rejects with `FileFailure`. */
  read(path: Buffer, size: number): Promise<ReadFile> {
    return this.#wait(this.#reads, { path: path.toString('latin1'), size }, size)
  }

  /** Makes the file, which must not be there yet; `time` as core's fileTime gives it. At most 2 MiB. Rejects with `FileFailure`. */
  write(path: Buffer, content: Uint8Array, { mode, time }: { readonly mode: number; readonly time: string }): Promise<void> {
    return this.#wait(this.#writes, { path: path.toString('latin1'), size: content.length, mode, time, content }, content.length)
  }

  #wait<Wish, Result>(queue: Waiting<Wish, Result>[], wish: Wish, size: number): Promise<Result> {
    if (size > BYTES_MAX) throw new RangeError(`a file of ${size} bytes is no small one`)
    const { promise, resolve, reject } = Promise.withResolvers<Result>()
    queue.push({ wish, size, resolve, reject })
    this.#pump()
    return promise
  }

  /** Whoever rests gets what has gathered: alone at first, more together the busier the threads are. */
  #pump(): void {
    while (this.#reads.length > 0 || this.#writes.length > 0) {
      const thread = [...this.#threads].find(({ order }) => order === null) ?? (this.#threads.size < this.#threadsMax ? this.#start() : null)
      if (thread === null) return
      // By turns, so that neither waits for the other's end.
      this.#lastWasRead = this.#reads.length > 0 && !(this.#lastWasRead && this.#writes.length > 0)
      if (this.#lastWasRead) this.#orderReads(thread, take(this.#reads))
      else this.#orderWrites(thread, take(this.#writes))
    }
  }

  #orderReads(thread: Thread, batch: readonly WaitingRead[]): void {
    this.#order(thread, { number: ++this.#last, reads: batch.map(({ wish }) => wish) }, batch, ({ failures, hashes, bytes }) => {
      const hash = Buffer.from(hashes ?? new ArrayBuffer(0))
      let at = 0
      for (const [index, { size, resolve, reject }] of batch.entries()) {
        const failure = failures[index]
        if (failure) reject(new FileFailure(failure))
        else resolve({ bytes: Buffer.from(bytes, at, size), sha256: hash.toString('hex', index * HASH_BYTES, (index + 1) * HASH_BYTES) })
        at += size
      }
    })
  }

  #orderWrites(thread: Thread, batch: readonly WaitingWrite[]): void {
    const size = batch.reduce((sum, each) => sum + each.size, 0)
    const all = Buffer.from(size > TOGETHER_BYTES ? new ArrayBuffer(size) : (this.#free.pop() ?? new ArrayBuffer(TOGETHER_BYTES)))
    let at = 0
    for (const { wish } of batch) {
      all.set(wish.content, at)
      at += wish.size
    }
    const writes = batch.map(({ wish: { path, size, mode, time } }) => ({ path, size, mode, time }))
    this.#order(thread, { number: ++this.#last, writes, bytes: all.buffer }, batch, ({ failures, bytes }) => {
      if (bytes.byteLength === TOGETHER_BYTES && this.#free.length < this.#threadsMax) this.#free.push(bytes)
      for (const [index, { resolve, reject }] of batch.entries()) {
        const failure = failures[index]
        if (failure) reject(new FileFailure(failure))
        else resolve()
      }
    })
  }

  #order(thread: Thread, order: Order, batch: readonly { readonly reject: (error: unknown) => void }[], answer: (answer: Answer) => void): void {
    clearTimeout(thread.idle)
    const fail = (error: unknown): void => {
      for (const { reject } of batch) reject(error)
    }
    thread.order = { answer, fail }
    thread.worker.ref()
    thread.worker.postMessage(order, 'bytes' in order ? [order.bytes] : [])
  }

  #start(): Thread {
    const worker = new Worker(new URL('thread.ts', import.meta.url), { name: 'host-files', execArgv: [], resourceLimits: THREAD_LIMITS })
    const thread: Thread = { worker, order: null, idle: undefined }
    this.#threads.add(thread)
    worker.on('message', (answer: Answer) => {
      const { order } = thread
      thread.order = null
      this.#rest(thread)
      order?.answer(answer)
      this.#pump()
    })
    const gone = (error: unknown): void => {
      clearTimeout(thread.idle)
      this.#threads.delete(thread)
      thread.order?.fail(new AutovibeError('substrate.failed', 'The thread that reads and writes files has ended.', { retryable: true, cause: error }))
      thread.order = null
      this.#pump()
    }
    worker.once('error', gone)
    worker.once('exit', gone)
    return thread
  }

  #rest(thread: Thread): void {
    // A thread at rest keeps no process alive.
    thread.worker.unref()
    thread.idle = setTimeout(() => {
      this.#threads.delete(thread)
      void thread.worker.terminate()
    }, IDLE_MS).unref()
  }
}

/** The oldest, as many as one order takes. */
function take<Wish, Result>(queue: Waiting<Wish, Result>[]): Waiting<Wish, Result>[] {
  let [count, bytes] = [0, 0]
  for (const { size } of queue) {
    if (count === FILES_MAX || (count > 0 && bytes + size > TOGETHER_BYTES)) break
    count++
    bytes += size
  }
  return queue.splice(0, count)
}
