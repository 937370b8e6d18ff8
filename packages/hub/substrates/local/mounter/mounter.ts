/** A process that stands ready to mount in the namespaces of machines, one order after the other; it is started when it is first needed and ends with the Hub. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { AutovibeError } from '@autovibe/contract'
import { TOOL_ENV, toolFailure } from '../command.ts'

export const MOUNTER_SCRIPT = fileURLToPath(new URL('mounter.pl', import.meta.url))

const TIMEOUT_MS = 15_000
const STDERR_CHARS = 8192

/** `swap`: unless somebody has something of what is mounted there open. Paths in the options are relative to the layers' folder. */
export type MountAct =
  | { readonly act: 'mount' | 'swap'; readonly layers: string; readonly upper: string; readonly options: string }
  | { readonly act: 'read-only' | 'writable' }

interface Waiting {
  readonly resolve: (how: string) => void
  readonly reject: (error: AutovibeError) => void
}

interface Hand {
  readonly child: ChildProcessWithoutNullStreams
  /** Orders without an answer, by their numbers. */
  readonly waiting: Map<number, Waiting>
}

export class Mounter {
  /** An ordinary user's machines have a user namespace of their own, which is entered first. */
  readonly #asRoot: boolean
  #hand: Hand | null = null
  #last = 0

  constructor(asRoot: boolean) {
    this.#asRoot = asRoot
  }

  /** Does it on this folder in the mount namespace of this process. `busy`: somebody has something open there, and nothing was changed. */
  async in(pid: number, tree: string, act: MountAct): Promise<'done' | 'busy'> {
    const how = await this.#ask(`${pid} ${this.#asRoot ? 0 : 1} ${orderOf(tree, act)}`)
    if (how === 'done' || how === 'busy') return how
    throw toolFailure('Mounting the machine’s tree', how)
  }

  /** Ends the process; another order starts another one. */
  close(): void {
    this.#hand?.child.stdin.end()
    this.#hand = null
  }

  #ask(order: string): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    const number = ++this.#last
    this.#hand ??= this.#start()
    const { child, waiting } = this.#hand
    const timer = setTimeout(() => {
      waiting.delete(number)
      reject(new AutovibeError('substrate.failed', `Mounting did not end within ${TIMEOUT_MS} ms.`, { retryable: true }))
    }, TIMEOUT_MS)
    const settled = (): void => {
      clearTimeout(timer)
      waiting.delete(number)
    }
    waiting.set(number, { resolve: (how) => (settled(), resolve(how)), reject: (error) => (settled(), reject(error)) })
    child.stdin.write(`${number} ${order}\n`)
    return promise
  }

  #start(): Hand {
    const child = spawn('perl', [MOUNTER_SCRIPT, process.arch], { cwd: '/', env: TOOL_ENV, stdio: 'pipe' })
    const hand: Hand = { child, waiting: new Map() }
    let stderr = ''
    child.stderr.on('data', (chunk: Buffer) => {
      if (stderr.length < STDERR_CHARS) stderr += chunk.toString('utf8')
    })
    createInterface({ input: child.stdout }).on('line', (line) => {
      const at = line.indexOf(' ')
      hand.waiting.get(Number(line.slice(0, at)))?.resolve(line.slice(at + 1))
    })
    // It may have ended without reading what it is told; its end says so.
    child.stdin.on('error', () => undefined)
    const gone = (why: string): void => {
      if (this.#hand === hand) this.#hand = null
      for (const { reject } of hand.waiting.values())
        reject(
          new AutovibeError('substrate.unavailable', 'The process that mounts machines’ trees has ended.', { retryable: true, internal: `${why} ${stderr}` }),
        )
    }
    child.once('error', (error) => gone(error.message))
    child.once('close', (code) => gone(`it ended with ${code ?? 'a signal'}`))
    // Neither it nor its pipes keep a process alive that has nothing else to do.
    child.unref()
    for (const stream of [child.stdin, child.stdout, child.stderr] as unknown as { unref(): void }[]) stream.unref()
    return hand
  }
}

/** The last words of an order: what is to be done on this folder. */
export function orderOf(tree: string, act: MountAct): string {
  const { layers, upper, options } = 'layers' in act ? act : { layers: '', upper: '', options: '' }
  return [act.act, layers, tree, upper, options].map(encode).join(' ')
}

/** Bytes that the order's form needs, and what is no plain text. */
function encode(word: string): string {
  return Buffer.from(word)
    .toString('latin1')
    .replace(/[^!-$&-~]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`)
}
