/** The Hub's log: one JSON object a line, with everything that looks like a secret taken out before a line is written. */
import { type DestinationStream, type Logger, pino } from 'pino'

export type { Logger } from 'pino'

/** Members that hold secrets, wherever code may log the object around them. */
const SECRET_MEMBERS = ['authorization', 'cookie', 'key', 'secret', 'token', 'password', '"x-api-key"']
const REDACTED = SECRET_MEMBERS.flatMap((name) => (name.startsWith('"') ? [`*[${name}]`, `*.*[${name}]`] : [name, `*.${name}`, `*.*.${name}`]))

/** Our own secrets (`avk_` keys of the API, `avm_` machine tokens) and the providers' keys, wherever they stand in a text. */
const SECRET_TEXT = /\b(av[km]_|sk-(?:ant-|proj-)?)[A-Za-z0-9_-]{16,}|(Bearer )[A-Za-z0-9._~+/-]{16,}/g

export interface LoggerOptions {
  readonly level: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent'
  /** Standard error when left out: standard output belongs to the payload of commands. */
  readonly destination?: DestinationStream
}

/** Makes the one logger of a process; rooms take `logger.child({ room })`. */
export function createLogger(options: LoggerOptions): Logger {
  return pino(
    {
      level: options.level,
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: REDACTED, censor: '[redacted]' },
      hooks: { streamWrite: withoutSecrets },
    },
    options.destination ?? standardError(),
  )
}

/** A log that cannot be written (a full disk) must not take the Hub with it: the line is lost, and counted. */
function standardError(): DestinationStream {
  const destination = pino.destination({ fd: 2, sync: true })
  let lost = 0
  destination.on('error', () => {
    lost++
  })
  return {
    write(line) {
      try {
        destination.write(line)
        if (lost === 0) return
        destination.write(`${JSON.stringify({ level: 40, time: new Date().toISOString(), pid: process.pid, lost, msg: 'log lines could not be written' })}\n`)
        lost = 0
      } catch {
        lost++
      }
    },
  }
}

/** The text with every secret cut down to its prefix. */
export function withoutSecrets(text: string): string {
  return text.replace(SECRET_TEXT, (_whole, prefix: string | undefined, bearer: string | undefined) => `${prefix ?? bearer ?? ''}[redacted]`)
}
