/** The conversation as a file in the machine's tree, one line a message, so that a checkpoint holds it and a fork goes on with it. */
import { appendFile, mkdir, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { log } from '../../log.ts'
import type { AgentHost } from '../adapter.ts'
import { type Message, repair } from './repair.ts'

export interface Entry {
  readonly at: string
  readonly run_id: string
  /** The step that the message belongs to; 0 for the order itself. */
  readonly step: number
  readonly message: Message
  /** Why the model stopped, on its own messages. */
  readonly stop_reason?: string | null
  /** The agent's own message was the last of closing its work, which is not finished. */
  readonly closing?: true
  /** What the Hub said of the world in this message, so that a restart does not say it again. */
  readonly notice?: string
}

/** More than any model's context; what is longer was not written by this agent. */
const FILE_BYTES_MAX = 256 * 1024 * 1024

export class Conversation {
  readonly #file: string
  readonly #entries: Entry[]
  /** A crash can leave a half line; what follows must not be glued to it. */
  #needsNewline: boolean

  private constructor(file: string, entries: Entry[], needsNewline: boolean) {
    this.#file = file
    this.#entries = entries
    this.#needsNewline = needsNewline
  }

  /** Continues the newest conversation of this home when asked to, or this run's own after a restart; begins one otherwise. */
  static async open(home: string, runId: string, resume: boolean): Promise<Conversation> {
    const folder = join(home, '.autovibe', 'conversation')
    await mkdir(folder, { recursive: true })
    // Run ids sort by time, so the last name is the newest conversation.
    const names = (await readdir(folder)).filter((name) => /^run_[0-9a-z]+\.jsonl$/.test(name)).sort()
    const own = `${runId}.jsonl`
    const name = names.includes(own) ? own : resume ? (names.at(-1) ?? own) : own
    const file = join(folder, name)
    const text = names.includes(name) ? await readBounded(file) : ''
    return new Conversation(file, parseEntries(text), text !== '' && !text.endsWith('\n'))
  }

  get entries(): readonly Entry[] {
    return this.#entries
  }

  /** What the model is sent: all messages, made valid. */
  messages(): Message[] {
    return repair(this.#entries.map((entry) => entry.message))
  }

  /** Written before the next thing happens; not synced, because a checkpoint's freeze is what makes it last. */
  async append(entry: Entry): Promise<void> {
    await appendFile(this.#file, `${this.#needsNewline ? '\n' : ''}${JSON.stringify(entry)}\n`)
    this.#needsNewline = false
    this.#entries.push(entry)
  }
}

/** The tree may be frozen between any two writes, so each write is inside the gate. */
export async function inside(host: AgentHost, write: () => Promise<void>): Promise<void> {
  await host.gate.enter(host.signal)
  try {
    await write()
  } finally {
    host.gate.leave()
  }
}

/** The entries of a file; a line that is none (the half one of a crash) is left out. */
export function parseEntries(text: string): Entry[] {
  return text.split('\n').flatMap((line) => {
    if (line === '') return []
    try {
      const value: unknown = JSON.parse(line)
      return isEntry(value) ? [value] : []
    } catch {
      log('a line of the conversation was left out', { length: line.length })
      return []
    }
  })
}

async function readBounded(file: string): Promise<string> {
  const { size } = await stat(file)
  if (size > FILE_BYTES_MAX) throw new RangeError(`the conversation ${file} has ${size} bytes, more than ${FILE_BYTES_MAX}`)
  return readFile(file, 'utf8')
}

function isEntry(value: unknown): value is Entry {
  if (typeof value !== 'object' || value === null || !('message' in value) || !('run_id' in value) || !('step' in value)) return false
  const { message } = value
  if (typeof value.run_id !== 'string' || typeof value.step !== 'number' || typeof message !== 'object' || message === null) return false
  if (!('role' in message) || !('content' in message)) return false
  const isRole = message.role === 'user' || message.role === 'assistant'
  return (
    isRole &&
    (typeof message.content === 'string' ||
      (Array.isArray(message.content) && message.content.every((block) => typeof block === 'object' && block !== null && 'type' in block)))
  )
}
