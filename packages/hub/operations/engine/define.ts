/** How an operation is written: a chain of named steps, each beside its undo, typed by the outputs of the steps before it. */
import type { Json, OperationId } from '@autovibe/contract'
import type { z } from 'zod'
import type { Tx } from '../../database/database.ts'

/** What a step knows. `outputs` holds what the earlier steps returned, by their names; in an undo any of them may be missing. */
export interface StepContext<P, I, O> {
  readonly operationId: OperationId
  readonly input: I
  readonly outputs: O
  readonly ports: P
  readonly now: Date
  /** Why the operation is being undone; null going forward. */
  readonly reason: { readonly code: string; readonly message: string; readonly fix: string | null } | null
  /** Raised when the step's time is up or another Hub took over: stop, nothing that follows will be recorded. */
  readonly signal: AbortSignal
}

export type Output = Record<string, Json> | null

/** Effect and record in one transaction: exactly once. Calls nothing outside. */
export interface TxStep<P, I, O, R extends Output> {
  readonly do: (context: StepContext<P, I, O>, tx: Tx) => Promise<R>
  readonly undo?: (context: StepContext<P, I, Partial<O>>, tx: Tx) => Promise<void>
}

/** `done`, or `pending` with what is needed to find the work again: it is stored, and the step is called again after `againMs`. */
export type Ensured<R extends Output> = { readonly done: R } | { readonly pending: Record<string, Json>; readonly againMs: number }

/** Looks, then acts, outside any transaction: at least once, and the same after any number of times. */
export interface EnsureStep<P, I, O, R extends Output> {
  readonly do: (context: StepContext<P, I, O>, handle: Record<string, Json> | null) => Promise<Ensured<R>>
  readonly undo?: (context: StepContext<P, I, Partial<O>>) => Promise<void>
  /** One call may take this long; then it counts as a retryable failure. Default 60 s. */
  readonly timeoutMs?: number
}

/** Waits for a row without holding a worker. */
export interface UntilStep<P, I, O, R extends Output> {
  /** Null while it is not so yet. Called again on every wake-up and every few seconds. */
  readonly ready: (context: StepContext<P, I, O>, tx: Tx) => Promise<R | null>
  readonly deadlineMs: number
  /** What the deadline means: `fail` undoes the operation (default), or an output to go on with. */
  readonly atDeadline?: (context: StepContext<P, I, O>, tx: Tx) => Promise<R>
  readonly undo?: (context: StepContext<P, I, Partial<O>>, tx: Tx) => Promise<void>
}

// A step inside the registry has lost its types: the chain has checked them already.
// biome-ignore lint/suspicious/noExplicitAny: the registry holds steps of every type
type Any = any
export type AnyStep =
  | ({ readonly kind: 'tx'; readonly name: string } & TxStep<Any, Any, Any, Any>)
  | ({ readonly kind: 'ensure'; readonly name: string } & EnsureStep<Any, Any, Any, Any>)
  | ({ readonly kind: 'until'; readonly name: string } & UntilStep<Any, Any, Any, Any>)

export interface OperationOptions {
  /** Raised when the meaning of the steps changes; default 1. */
  readonly version?: number
  /** Keeps every other exclusive operation off its machine; default true. */
  readonly exclusive?: boolean
  /** False for what must be finished once begun; default true. */
  readonly cancellable?: boolean
  /** True for one whose steps may take minutes; such share a part of the workers. Default false. */
  readonly long?: boolean
}

export interface AnyOperation {
  readonly kind: string
  readonly version: number
  readonly exclusive: boolean
  readonly cancellable: boolean
  readonly long: boolean
  readonly inputSchema: z.ZodType
  readonly steps: readonly AnyStep[]
}

export interface Operation<P, S extends z.ZodType, O> extends AnyOperation {
  readonly inputSchema: S
  tx<N extends string, R extends Output>(name: N, step: TxStep<P, z.output<S>, O, R>): Operation<P, S, O & Record<N, R>>
  ensure<N extends string, R extends Output>(name: N, step: EnsureStep<P, z.output<S>, O, R>): Operation<P, S, O & Record<N, R>>
  until<N extends string, R extends Output>(name: N, step: UntilStep<P, z.output<S>, O, R>): Operation<P, S, O & Record<N, R>>
}

/** Begins an operation on ports `P`; the kind is its file's name. */
export function defineOperations<P>() {
  return function operation<S extends z.ZodType>(kind: string, inputSchema: S, options: OperationOptions = {}): Operation<P, S, Record<never, never>> {
    return build(kind, inputSchema, options, [])
  }
}

function build<P, S extends z.ZodType, O>(kind: string, inputSchema: S, options: OperationOptions, steps: readonly AnyStep[]): Operation<P, S, O> {
  const add = (step: AnyStep) => {
    if (steps.some(({ name }) => name === step.name)) throw new Error(`operation ${kind} has two steps named ${step.name}`)
    // biome-ignore lint/suspicious/noExplicitAny: each call of the chain widens the outputs
    return build<P, S, any>(kind, inputSchema, options, [...steps, step])
  }
  return {
    kind,
    version: options.version ?? 1,
    exclusive: options.exclusive ?? true,
    cancellable: options.cancellable ?? true,
    long: options.long ?? false,
    inputSchema,
    steps,
    tx: (name, step) => add({ kind: 'tx', name, ...step }),
    ensure: (name, step) => add({ kind: 'ensure', name, ...step }),
    until: (name, step) => add({ kind: 'until', name, ...step }),
  }
}

/** All operations by kind. */
export type Registry = ReadonlyMap<string, AnyOperation>

export function registryOf(operations: readonly AnyOperation[]): Registry {
  const registry = new Map<string, AnyOperation>()
  for (const operation of operations) {
    if (registry.has(operation.kind)) throw new Error(`two operations named ${operation.kind}`)
    registry.set(operation.kind, operation)
  }
  return registry
}
