/** Machines: what they are doing, and what may be done with them. */
import type {
  CreateCheckpoint,
  CreatedCheckpoint,
  CreateExec,
  Machine,
  MachineLimitsChange,
  MachineQuery,
  OperationRef,
  RollbackEffects,
  RollbackMachine,
} from '@autovibe/contract'
import { type ExecProcess, startExec } from './exec.ts'
import { type List, list } from './pages.ts'
import type { CallOptions, Transport } from './transport.ts'
import { type WaitOptions, waitFor } from './waiting.ts'

export type MachineWaitState = 'ready' | 'stopped' | 'destroyed'

const REACHED: Record<MachineWaitState, ReadonlySet<Machine['state']>> = {
  ready: new Set(['ready', 'running', 'paused', 'checkpointing', 'destroyed']),
  stopped: new Set(['stopped', 'destroyed']),
  destroyed: new Set(['destroyed']),
}
/** Only an operation moves a machine out of these; without one under way there is nothing to wait for. */
const AT_REST: ReadonlySet<Machine['state']> = new Set(['stopped', 'failed'])

export class Machines {
  readonly #transport: Transport
  constructor(transport: Transport) {
    this.#transport = transport
  }

  list(query: Partial<MachineQuery> = {}, options?: CallOptions): List<Machine> {
    return list(this.#transport, '/machines', query, options)
  }

  /** By name or id. */
  get(ref: string, options?: CallOptions): Promise<Machine> {
    return this.#transport.json('GET', at(ref), options)
  }

  /** Changes what it may take; what is left out stays as it is. */
  limit(ref: string, limits: MachineLimitsChange, options?: CallOptions): Promise<Machine> {
    return this.#transport.json('PUT', `${at(ref)}/limits`, { ...options, body: limits })
  }

  stop(ref: string, options?: CallOptions): Promise<OperationRef> {
    return this.#transport.json('POST', `${at(ref)}/stop`, { ...options, body: {} })
  }

  start(ref: string, options?: CallOptions): Promise<OperationRef> {
    return this.#transport.json('POST', `${at(ref)}/start`, { ...options, body: {} })
  }

  destroy(ref: string, options?: CallOptions): Promise<OperationRef> {
    return this.#transport.json('POST', `${at(ref)}/destroy`, { ...options, body: {} })
  }

  /** What a rollback to this checkpoint could not undo, as far as it is known now. */
  rollbackEffects(ref: string, to: string, options?: CallOptions): Promise<RollbackEffects> {
    return this.#transport.json('GET', `${at(ref)}/rollback`, { ...options, query: { to } })
  }

  /** The output of its operation says what it has not undone. */
  rollback(ref: string, to: RollbackMachine, options?: CallOptions): Promise<OperationRef> {
    return this.#transport.json('POST', `${at(ref)}/rollback`, { ...options, body: to })
  }

  checkpoint(ref: string, checkpoint: CreateCheckpoint = {}, options?: CallOptions): Promise<CreatedCheckpoint> {
    return this.#transport.json('POST', `${at(ref)}/checkpoints`, { ...options, body: checkpoint })
  }

  /** Runs a command inside a machine that is up; the signal lets go of it. */
  exec(ref: string, request: Partial<CreateExec> = {}, options?: CallOptions): Promise<ExecProcess> {
    return startExec(this.#transport, ref, request, options)
  }

  /** The machine once it is so, or can no longer become so: look at its state. */
  wait(ref: string, state: MachineWaitState, options?: WaitOptions): Promise<Machine> {
    return waitFor<Machine>(
      this.#transport,
      `${at(ref)}/wait`,
      state,
      (machine) => REACHED[state].has(machine.state) || (machine.operation_id === null && AT_REST.has(machine.state)),
      options,
    )
  }
}

const at = (ref: string): string => `/machines/${encodeURIComponent(ref)}`
