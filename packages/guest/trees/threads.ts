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

async function* answersOf(work: ThreadWork, signal: AbortSignal): AsyncGenerator<ThreadAnswer, void> {
  signal.throwIfAborted()
  const worker = new Worker(new URL('./thread.ts', import.meta.url), { workerData: work })
  const waiting: ThreadAnswer[] = []
  let wake = Promise.withResolvers<void>()
  let ended: unknown
  const end = (reason: unknown): void => {
    ended ??= reason
    wake.resolve()
  }
  worker.on('message', (answer: ThreadAnswer) => {
    waiting.push(answer)
    wake.resolve()
  })
  worker.once('error', end)
  worker.once('exit', () => end(new AutovibeError('substrate.failed', 'The thread that reads the machine’s tree ended early.')))
  const onAbort = (): void => end(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
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
    await worker.terminate()
  }
}

function failureOf({ problem, internal }: Extract<ThreadAnswer, { kind: 'failed' }>): AutovibeError {
  const { code, message, retryable } = AutovibeError.fromProblem(problem)
  return new AutovibeError(code, message, { retryable, internal })
}
