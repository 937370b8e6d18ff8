/** The making of a template as lines while it goes on: each step as it begins, a sign of life in between, and one line at the end that says what it came to. */
import { AutovibeError, asAutovibeError, type BuiltTemplate, type TemplateEvent } from '@autovibe/contract'
import type { Runtime } from '../runtime.ts'

/** What lies between must not take a silent connection for a dead one. */
const ALIVE_MS = 15_000
/** Steps that wait for a slow client; more of them would only repeat the last. */
const WAITING_MOST = 64

export type Making = (tell: (step: string, detail: string) => void) => Promise<{ readonly template: BuiltTemplate } | { readonly removed: readonly string[] }>

export interface EventOptions {
  readonly runtime: Pick<Runtime, 'now'>
  /** Ends the making when nobody listens any more, or the Hub ends. */
  readonly signal: AbortSignal
  readonly onError: (error: AutovibeError) => void
  readonly aliveMs?: number
}

export async function* templateEvents(make: Making, { runtime, signal, onError, aliveMs = ALIVE_MS }: EventOptions): AsyncGenerator<string, void> {
  const startedMs = runtime.now().getTime()
  const waiting: { step: string; detail: string }[] = []
  let last = { step: 'looking', detail: 'It begins' }
  let end: TemplateEvent | undefined
  let wake = Promise.withResolvers<void>()
  const tell = (step: string, detail: string): void => {
    const before = waiting.at(-1) ?? last
    if (before.step === step && before.detail === detail) return
    waiting.push({ step, detail })
    if (waiting.length > WAITING_MOST) waiting.shift()
    wake.resolve()
  }
  const made = make(tell)
    .then(
      (outcome): TemplateEvent => ('template' in outcome ? { type: 'done', template: outcome.template } : { type: 'abandoned', removed: [...outcome.removed] }),
      (thrown: unknown): TemplateEvent => {
        const error = signal.aborted && !(thrown instanceof AutovibeError) ? stopped() : asAutovibeError(thrown)
        onError(error)
        return { type: 'failed', problem: error.toProblem() }
      },
    )
    .then((event) => {
      end = event
      wake.resolve()
    })
  try {
    for (;;) {
      const next = waiting.shift()
      if (next !== undefined) last = next
      else if (end !== undefined) {
        yield line(end)
        return
      }
      if (next !== undefined || (await silentFor(wake.promise, aliveMs)))
        yield line({ type: 'progress', ...last, elapsed_seconds: Math.max(0, Math.round((runtime.now().getTime() - startedMs) / 1000)) })
      wake = renewed(wake, waiting.length > 0 || end !== undefined)
    }
  } finally {
    await made
  }
}

const line = (event: TemplateEvent): string => `${JSON.stringify(event)}\n`

const stopped = (): AutovibeError =>
  new AutovibeError('operation.cancelled', 'The making of the template was stopped; what was begun stays on the cluster.', {
    fix: 'The same command again goes on where it was.',
  })

/** A wake-up that was heard is over; one for what still waits is not. */
function renewed(wake: PromiseWithResolvers<void>, isAwake: boolean): PromiseWithResolvers<void> {
  return isAwake ? wake : Promise.withResolvers<void>()
}

/** True when the time was over first. */
async function silentFor(wake: Promise<void>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const over = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(true), ms)
  })
  try {
    return await Promise.race([wake.then(() => false), over])
  } finally {
    clearTimeout(timer)
  }
}
