/** What Proxmox says when it says no: one error class, and the few sentences that many places share. */

/** An answer other than 200. The first line of `text` is also the reason phrase; `errors` names single parameters. */
export class Refusal extends Error {
  readonly status: number
  readonly text: string
  readonly errors: Readonly<Record<string, string>> | undefined

  constructor(status: number, text: string, errors?: Readonly<Record<string, string>>) {
    super(text.trimEnd())
    this.status = status
    this.text = text
    this.errors = errors
  }
}

/** Perl's die: 500 inside a request, the exit status inside a task. */
export const died = (text: string): Refusal => new Refusal(500, `${text}\n`)

export const badParameters = (errors: Readonly<Record<string, string>>): Refusal => new Refusal(400, 'Parameter verification failed.\n', errors)

export const forbidden = (what?: string): Refusal => new Refusal(403, what === undefined ? 'Permission check failed\n' : `Permission check failed (${what})\n`)

export const notImplemented = (method: string, path: string): Refusal => new Refusal(501, `Method '${method} ${path}' not implemented`)

/** Anything thrown, as the text that a task's last line or a reason phrase shows. */
export const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Proxmox's lists: split at commas, semicolons and white space. */
export function listOf(text: string | undefined): string[] {
  if (text === undefined) return []
  if (text.includes('\0')) return text.split('\0')
  return text.split(/[\s,;]+/).filter((part) => part !== '')
}

/** Whether a check lets pass; anything but a refusal goes on upwards. */
export function passes(check: () => void): boolean {
  try {
    check()
    return true
  } catch (error) {
    if (error instanceof Refusal) return false
    throw error
  }
}

/** Percent signs taken back as Perl takes them: what is no escape stays as it is. */
export const percentDecoded = (text: string): string =>
  text.replaceAll(/(?:%[0-9a-fA-F]{2})+/g, (escaped) => Buffer.from(escaped.replaceAll('%', ''), 'hex').toString('utf8'))
