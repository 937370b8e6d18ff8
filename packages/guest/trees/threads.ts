/** Starts the threads that walk trees, and ends them with whoever asked. */
import { Worker } from 'node:worker_threads'
import { AutovibeError, type Problem } from '@autovibe/contract'
import type { FrozenTree } from './compare.ts'
import type { CopyTree } from './copy-tree.ts'

export type ThreadWork =
  | ({ readonly kind: 'copy' } & CopyTree)
  /** `taken`: how many chunks were, as one number of 32 bits. */
  | { readonly kind: 'changes'; readonly after: FrozenTree; readonly before: FrozenTree | null; readonly taken: SharedArrayBuffer }

export type ThreadAnswer =
  | { readonly kind: 'copied'; readonly isQuiet: boolean }
  | { readonly kind: 'chunk'; readonly bytes: Uint8Array }
  | { readonly kind: 'told' }
  | { readonly kind: 'failed'; readonly problem: Problem; readonly internal: string }

/** As `copyTree`, in a thread. */
export async function copyInThread(work: CopyTree, signal: AbortSignal): Promise<boolean> {
  for await (const answer of answersOf({ kind: 'copy', ...work }, signal)) if (answer.kind === 'copied') return answer.isQuiet
  throw new AutovibeError('substrate.failed', 'Copying the machine’s tree ended early.')
}

/** As `changesBetween`, in a thread, a few chunks ahead of whoever reads. */
export async function* changesInThread(after: FrozenTree, before: FrozenTree | null, signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
  const taken = new SharedArrayBuffer(4)
  const counter = new Int32Array(taken)
  for await (const answer of answersOf({ kind: 'changes', after, before, taken }, signal)) {
    if (answer.kind === 'told') return
    if (answer.kind !== 'chunk') continue
    yield answer.bytes
    Atomics.add(counter, 0, 1)
    Atomics.notify(counter, 0)
  }
  throw new AutovibeError('substrate.failed', 'Reading the machine’s tree ended early.')
}

/** One that has nothing to do: loading its code takes longer than most trees, and an agent may be standing still. */
let spare: Worker | null = null

/** So that the first that is needed is there. */
export function prepareThread(): void {
  spare ??= newThread()
}

function newThread(): Worker {
  const worker = new Worker(new URL('./thread.ts', import.meta.url))
  worker.unref()
  // One that dies while it has nothing to do is replaced when it is needed; otherwise its user hears of it too.
  worker.on('error', () => undefined)
  worker.once('exit', () => {
    if (spare === worker) spare = null
  })
  return worker
}

async function* answersOf(work: ThreadWork, signal: AbortSignal): AsyncGenerator<ThreadAnswer, void> {
  signal.throwIfAborted()
  const worker = spare ?? newThread()
  spare = null
  const waiting: ThreadAnswer[] = []
  let wake = Promise.withResolvers<void>()
  let ended: unknown
  let isDone = false
  const end = (reason: unknown): void => {
    ended ??= reason
    wake.resolve()
  }
  const onMessage = (answer: ThreadAnswer): void => {
    isDone ||= answer.kind !== 'chunk'
    waiting.push(answer)
    wake.resolve()
  }
  const onExit = (): void => end(new AutovibeError('substrate.failed', 'The thread that reads the machine’s tree ended early.'))
  const onAbort = (): void => end(signal.reason)
  worker.ref()
  worker.on('message', onMessage).on('error', end).on('exit', onExit)
  signal.addEventListener('abort', onAbort, { once: true })
  worker.postMessage(work)
  try {
    for (;;) {
      for (let answer = waiting.shift(); answer !== undefined; answer = waiting.shift()) {
        if (answer.kind === 'failed') throw failureOf(answer)
        yield answer
      }
      if (ended !== undefined) throw ended
      await wake.promise
      wake = Promise.withResolvers()
    }
  } finally {
    signal.removeEventListener('abort', onAbort)
    worker.off('message', onMessage).off('error', end).off('exit', onExit)
    worker.unref()
    if (isDone && ended === undefined && spare === null) spare = worker
    else await worker.terminate()
  }
}

function failureOf({ problem, internal }: Extract<ThreadAnswer, { kind: 'failed' }>): AutovibeError {
  const { code, message, retryable } = AutovibeError.fromProblem(problem)
  return new AutovibeError(code, message, { retryable, internal })
}
