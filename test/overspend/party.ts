/** A process that takes part in the race: it says when it is ready, answers questions, and may be killed at any time. */
import { type ChildProcess, fork } from 'node:child_process'

const READY_TIMEOUT_MS = 60_000

export interface Party {
  /** What it said of itself, in the order in which it said it. */
  told(what: string): Promise<unknown>
  /** Rejects when the process ends before it answers. */
  ask<T>(question: string, detail?: unknown): Promise<T>
  /** Ends it as a power cut would. */
  kill(): Promise<void>
  /** Resolves with how it ended. */
  readonly gone: Promise<string>
  /** The end of what it wrote on standard error. */
  errors(): string
}

/** Starts a file as a process; `config` is its only argument. */
export function startParty(file: URL, config: unknown): Party {
  const child = fork(file, [JSON.stringify(config)], {
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...process.env, NODE_TEST_CONTEXT: undefined },
  })
  let errors = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    errors = `${errors}${chunk.toString()}`.slice(-16_384)
  })
  // Each question waits with a listener of its own.
  child.setMaxListeners(0)
  const gone = new Promise<string>((resolve) => child.once('close', (code, signal) => resolve(signal ?? `exit ${code}`)))
  let questions = 0
  return {
    told: (what) => answerOf(child, gone, what, () => errors),
    async ask<T>(question: string, detail?: unknown) {
      const key = `answer ${questions++}`
      const answer = answerOf(child, gone, key, () => errors)
      // A process that has just ended is told by `gone`.
      child.send({ key, question, detail }, () => undefined)
      return (await answer) as T
    },
    kill: async () => {
      child.kill('SIGKILL')
      await gone
    },
    gone,
    errors: () => errors,
  }
}

interface Said {
  readonly key: string
  readonly value?: unknown
  readonly error?: string
}

function answerOf(child: ChildProcess, gone: Promise<string>, key: string, errors: () => string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => done(() => reject(new Error(`no ${key} within ${READY_TIMEOUT_MS} ms: ${errors()}`))), READY_TIMEOUT_MS)
    const listen = (said: Said) => {
      if (said.key !== key) return
      done(() => (said.error === undefined ? resolve(said.value) : reject(new Error(said.error))))
    }
    const done = (how: () => void) => {
      clearTimeout(timer)
      child.off('message', listen)
      how()
    }
    child.on('message', listen)
    void gone.then((how) => done(() => reject(new Error(`gone (${how}) before ${key}: ${errors()}`))))
  })
}

/** For the process itself: its config. */
export const configOf = <T>(): T => JSON.parse(process.argv[2] ?? 'null') as T

/** For the process itself: says that something is so. */
export const tell = (key: string, value?: unknown): void => void process.send?.({ key, value } satisfies Said)

/** For the process itself: answers questions, and ends with whoever started it. */
export function answer(answers: Readonly<Record<string, (detail: never) => unknown>>): void {
  process.on('message', async ({ key, question, detail }: { key: string; question: string; detail: unknown }) => {
    try {
      tell(key, await answers[question]?.(detail as never))
    } catch (error) {
      process.send?.({ key, error: String(error) } satisfies Said)
    }
  })
  process.on('disconnect', () => process.exit(0))
}
