/** Exec: one command of a person inside a machine. It is asked for over the API and then spoken with over a WebSocket: text frames steer it, binary frames carry its streams. */
import { z } from 'zod'
import { Time } from './common.ts'
import { Problem } from './errors.ts'
import { ExecId, MachineId } from './ids.ts'

/** Bounds that the Hub holds both ends to. */
export const EXEC_LIMITS = {
  /** Program and arguments, and all of `env`; a terminal's command line must stay below the 128 KiB that Linux allows one argument, quoted. */
  commandBytes: 24 * 1024,
  envBytes: 24 * 1024,
  /** What one binary frame carries besides its first byte. */
  dataBytes: 64 * 1024,
  /** What of one stream may be under way without the receiver having taken it. */
  windowBytes: 256 * 1024,
  messageChars: 1000,
  perMachine: 8,
  inAll: 64,
} as const

/** The WebSocket subprotocol; the ticket goes beside it as `ticket.TICKET`, because browsers let a page set nothing else. */
export const EXEC_PROTOCOL = 'autovibe.exec.v1'
export const EXEC_TICKET_PREFIX = 'ticket.'

const encoder = new TextEncoder()
const bytesOf = (texts: readonly string[]): number => texts.reduce((sum, text) => sum + encoder.encode(text).length, 0)
/** A program cannot be given it. */
const withoutNul = (text: string): boolean => !text.includes('\0')

export const TerminalSize = z.object({ rows: z.int().min(1).max(1000), cols: z.int().min(1).max(1000) })
export type TerminalSize = z.infer<typeof TerminalSize>

export const CreateExec = z.object({
  command: z
    .array(z.string().refine(withoutNul, 'must not hold a NUL'))
    .max(1000)
    .refine((words) => bytesOf(words) <= EXEC_LIMITS.commandBytes, `must have at most ${EXEC_LIMITS.commandBytes} bytes in all; give more on standard input`)
    .default([])
    .describe('The program and its arguments; without any, the shell of the machine'),
  tty: z.boolean().default(false).describe('Inside a terminal: standard output and error come as one'),
  stdin: z.boolean().default(false).describe('Standard input is sent; otherwise it is empty from the beginning'),
  cwd: z
    .string()
    .min(1)
    .max(4096)
    .refine(withoutNul, 'must not hold a NUL')
    .nullable()
    .default(null)
    .describe('Relative to the project folder, which is also the default'),
  env: z
    .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,199}$/, 'must be the name of a variable'), z.string().refine(withoutNul, 'must not hold a NUL'))
    .refine((env) => bytesOf(Object.entries(env).flat()) <= EXEC_LIMITS.envBytes, `must have at most ${EXEC_LIMITS.envBytes} bytes in all`)
    .default({}),
  size: TerminalSize.nullable().default(null).describe('Of the terminal; 24 rows of 80 columns without it'),
})
export type CreateExec = z.infer<typeof CreateExec>

/** The command waits for its client: `GET /v1/exec/{id}` as a WebSocket, with the ticket, before it expires. */
export const Exec = z.object({
  id: ExecId,
  machine_id: MachineId,
  ticket: z.string().describe('Opens the WebSocket once'),
  expires_at: Time,
})
export type Exec = z.infer<typeof Exec>

/** What may be sent to a command; the names are those of signal(7). */
export const EXEC_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGKILL'] as const
export type ExecSignal = (typeof EXEC_SIGNALS)[number]

const bytes = z.int().min(1).max(EXEC_LIMITS.windowBytes)

/** Text frames of the client, which the Hub passes on to the machine. */
export const ExecInput = z.discriminatedUnion('type', [
  z.object({ type: z.literal('stdin_end') }),
  z.object({ type: z.literal('resize'), ...TerminalSize.shape }),
  z.object({ type: z.literal('signal'), name: z.enum(EXEC_SIGNALS) }),
  z.object({ type: z.literal('credit'), stream: z.enum(['stdout', 'stderr']), bytes }),
])
export type ExecInput = z.infer<typeof ExecInput>

/** The Hub's first text frame to the machine. */
export const ExecStart = z.object({ type: z.literal('start'), ...CreateExec.shape })
export type ExecStart = z.infer<typeof ExecStart>

const EXEC_NEWS = [
  z.object({ type: z.literal('started') }),
  z.object({ type: z.literal('credit'), stream: z.literal('stdin'), bytes }),
  /** 128 + its number for a command that a signal ended, as shells say it. */
  z.object({
    type: z.literal('exit'),
    exit_code: z.int().min(0).max(255),
    signal: z
      .string()
      .regex(/^SIG[A-Z0-9]{1,10}$/)
      .nullable(),
  }),
] as const

/** Why a machine could not start a command. */
export const EXEC_REFUSALS = ['no_program', 'not_executable', 'no_folder', 'no_terminal', 'broken'] as const

/** Text frames of the machine. */
export const ExecOutput = z.discriminatedUnion('type', [
  ...EXEC_NEWS,
  z.object({ type: z.literal('refused'), why: z.enum(EXEC_REFUSALS), message: z.string().max(EXEC_LIMITS.messageChars) }),
])
export type ExecOutput = z.infer<typeof ExecOutput>

/** Text frames that the client gets; the last one is `exit` or `failed`. */
export const ExecNews = z.discriminatedUnion('type', [
  ...EXEC_NEWS,
  z.object({ type: z.literal('failed'), problem: Problem, exit_code: z.int().min(125).max(127) }),
])
export type ExecNews = z.infer<typeof ExecNews>
