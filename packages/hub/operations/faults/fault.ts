/** The faults that the harness puts into one step of one operation, as wrappers around the step itself. */
import { AutovibeError } from '@autovibe/contract'
import type { AnyOperation, AnyStep, Registry } from '../engine/define.ts'

/** Where the process dies, what the world answers, what a person asks in the worst moment. */
export const FAULTS = [
  'crash before the effect',
  'crash after the effect, before the record',
  'an error once, then well',
  'the answer lost after the effect',
  'a refusal before the effect',
  'a refusal after the effect',
  'the call made twice',
  'a stalled call that lands after the end',
  'a cancel during the step',
  'a refusal, and a crash in its undo',
  'a refusal, and an error once in its undo',
] as const
export type Fault = (typeof FAULTS)[number]

const OF_TRANSACTIONS: ReadonlySet<Fault> = new Set(['an error once, then well', 'a refusal before the effect', 'a stalled call that lands after the end'])
const IN_UNDO: ReadonlySet<Fault> = new Set(['a refusal, and a crash in its undo', 'a refusal, and an error once in its undo'])

/** The faults that differ for this step: a transaction that fails before or after its effect leaves the same, and without an undo none can fail. */
export function faultsFor(step: AnyStep): readonly Fault[] {
  return FAULTS.filter((fault) => !(step.kind !== 'ensure' && OF_TRANSACTIONS.has(fault)) && !(step.undo === undefined && IN_UNDO.has(fault)))
}

/** What a fault needs of its surroundings. */
export interface Means {
  /** The process dies here: nothing that it has open is left, and this never returns. */
  crash(): Promise<never>
  /** Asks from outside; it may have to wait for the step's own transaction. */
  requestCancel(): void
}

export interface Injected {
  readonly registry: Registry
  /** True once the fault has happened; a fault that never happens is a test that tests nothing. */
  fired(): boolean
  /** Lets a stalled call land; resolves when it has. */
  land(): Promise<void>
}

const refusal = () => new AutovibeError('substrate.failed', 'injected: refused')
const hiccup = () => new AutovibeError('substrate.unavailable', 'injected: not now')

type Act = (...args: never[]) => Promise<unknown>

/** The registry with one fault in one step. `tx` steps take part in every fault: theirs happens inside the transaction. */
export function inject(registry: Registry, kind: string, stepName: string, fault: Fault, means: Means): Injected {
  const operation = registry.get(kind)
  const step = operation?.steps.find(({ name }) => name === stepName)
  if (!operation || !step) throw new Error(`no step ${stepName} in ${kind}`)
  let fired = false
  let undoFired = false
  let stalled: (() => Promise<unknown>) | null = null
  const once = (): boolean => {
    const first = !fired
    fired = true
    return first
  }

  const forward = (act: Act): Act => {
    const wrapped: Record<Fault, Act> = {
      'crash before the effect': async (...args) => (once() ? means.crash() : act(...args)),
      'crash after the effect, before the record': async (...args) => {
        const result = await act(...args)
        return once() ? means.crash() : result
      },
      'an error once, then well': async (...args) => {
        if (once()) throw hiccup()
        return act(...args)
      },
      'the answer lost after the effect': async (...args) => {
        const result = await act(...args)
        if (once()) throw hiccup()
        return result
      },
      'a refusal before the effect': async () => {
        fired = true
        throw refusal()
      },
      'a refusal after the effect': async (...args) => {
        await act(...args)
        fired = true
        throw refusal()
      },
      'the call made twice': async (...args) => {
        await act(...args)
        fired = true
        return act(...args)
      },
      'a stalled call that lands after the end': async (...args) => {
        fired = true
        // Only a call to the outside can stall past its record; a transaction that stalls is rolled back.
        if (step.kind === 'ensure') stalled = () => act(...args)
        throw refusal()
      },
      'a cancel during the step': async (...args) => {
        if (once()) means.requestCancel()
        return act(...args)
      },
      'a refusal, and a crash in its undo': async (...args) => {
        await act(...args)
        fired = true
        throw refusal()
      },
      'a refusal, and an error once in its undo': async (...args) => {
        await act(...args)
        fired = true
        throw refusal()
      },
    }
    return wrapped[fault]
  }
  const backward = (act: Act): Act => {
    if (fault === 'a refusal, and a crash in its undo') {
      return async (...args) => {
        await act(...args)
        if (!undoFired) {
          undoFired = true
          return means.crash()
        }
        return undefined
      }
    }
    if (fault === 'a refusal, and an error once in its undo') {
      return async (...args) => {
        if (!undoFired) {
          undoFired = true
          throw hiccup()
        }
        return act(...args)
      }
    }
    return act
  }

  const faulty = {
    ...step,
    ...('do' in step ? { do: forward(step.do as Act) } : { ready: forward(step.ready as Act) }),
    ...(step.undo ? { undo: backward(step.undo as Act) } : {}),
  } as AnyStep
  const changed: AnyOperation = { ...operation, steps: operation.steps.map((candidate) => (candidate === step ? faulty : candidate)) }
  return {
    registry: new Map([...registry, [kind, changed]]),
    fired: () => fired,
    land: async () => {
      // What it answers nobody hears; that it throws is as good as that it works.
      await stalled?.().catch(() => undefined)
    },
  }
}
