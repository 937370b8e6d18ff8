/** What is kept of an exec: who ran what and how it ended, never what it said. */
import type { ApiKeyId, CreateExec, ExecId, MachineId, ProjectId } from '@autovibe/contract'
import type { Database } from '../database/database.ts'
import { recordEvent } from '../database/events.ts'
import { transactionWithRetry } from '../database/transaction.ts'
import type { EngineLog } from '../operations/engine/context.ts'
import type { Runtime } from '../runtime.ts'

export interface ExecOrder {
  readonly id: ExecId
  readonly ticket: string
  readonly machine: { readonly id: MachineId; readonly name: string; readonly project_id: ProjectId }
  readonly actor: { readonly keyId: ApiKeyId; readonly name: string }
  readonly request: CreateExec
}

export interface ExecEnd {
  readonly exit_code: number | null
  readonly signal: string | null
  /** Why there is no exit code: the code of an error, or that the client went away. */
  readonly reason: string | null
  readonly duration_ms: number
  readonly stdin_bytes: number
  readonly stdout_bytes: number
  readonly stderr_bytes: number
}

const COMMAND_CHARS_MAX = 1000

/** The command line as the record shows it: one text, bounded, without what would break a line. */
export function commandLine(command: readonly string[]): string {
  const text = command.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word))).join(' ')
  return text.length > COMMAND_CHARS_MAX ? `${text.slice(0, COMMAND_CHARS_MAX)}…` : text
}

export interface ExecRecord {
  started(order: ExecOrder): void
  ended(order: ExecOrder, end: ExecEnd): void
  /** Resolves when all is written that was told. */
  settled(): Promise<void>
}

/** Writes in the order in which it is told; what cannot be written is logged and ends no exec. */
export function createExecRecord({ db, runtime, log }: { readonly db: Database; readonly runtime: Runtime; readonly log: EngineLog }): ExecRecord {
  let writing: Promise<void> = Promise.resolve()
  const write = (type: 'exec.started' | 'exec.ended', { id, machine, request, actor }: ExecOrder, more: Partial<ExecEnd>): void => {
    const at = runtime.now()
    const data = { exec_id: id, actor: actor.keyId, actor_name: actor.name, command: commandLine(request.command), tty: request.tty, ...more }
    writing = writing
      .then(() =>
        transactionWithRetry(db, (tx) => recordEvent(tx, runtime, { type, at, machine_id: machine.id, project_id: machine.project_id, data: { ...data } })),
      )
      .catch((err: unknown) => log.error({ err, exec: id }, 'the record of an exec was not written'))
  }
  return {
    started: (order) => write('exec.started', order, {}),
    ended: (order, end) => write('exec.ended', order, end),
    settled: () => writing,
  }
}
