/** The difference of two checkpoints, read while the Hub makes it. */
import { AutovibeError, type DiffHead, type DiffLine, type DiffTotals, type FileChange } from '@autovibe/contract'

export interface Diff extends DiffHead {
  /** Each file once, in the order of their paths, then the totals as the value of the generator. `hub.unreachable` when the answer breaks off. To be walked once. */
  readonly files: AsyncGenerator<FileChange, DiffTotals>
}

/** A patch of 16 MiB as a string of JSON is the longest that a Hub sends. */
const LINE_CHARS_MAX = 128 * 1024 * 1024

/** Reads as far as the head. */
export async function readDiff(body: ReadableStream<Uint8Array> | null, signal: AbortSignal | undefined): Promise<Diff> {
  const lines = linesOf(chunksOf(body, signal))
  const first = await lines.next()
  if (first.done || first.value.type !== 'diff') throw brokenOff()
  const { type: _, ...head } = first.value
  return { ...head, files: filesOf(lines) }
}

async function* filesOf(lines: AsyncGenerator<DiffLine, void>): AsyncGenerator<FileChange, DiffTotals> {
  for await (const line of lines) {
    if (line.type === 'problem') throw AutovibeError.fromProblem(line.problem)
    const { type, ...rest } = line
    if (type === 'end') return rest as DiffTotals
    // A newer Hub may send lines of other types.
    if (type === 'file') yield rest as FileChange
  }
  throw brokenOff()
}

async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<DiffLine, void> {
  const decoder = new TextDecoder()
  let parts: string[] = []
  let chars = 0
  for await (const chunk of chunks) {
    const [rest = '', ...others] = decoder.decode(chunk, { stream: true }).split('\n')
    let last = rest
    for (const next of others) {
      yield parsed([...parts, last].join(''))
      parts = []
      chars = 0
      last = next
    }
    parts.push(last)
    chars += last.length
    if (chars > LINE_CHARS_MAX) throw brokenOff()
  }
}

/** Leaves the Hub when nobody reads on. */
async function* chunksOf(body: ReadableStream<Uint8Array> | null, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array, void> {
  if (body === null) return
  try {
    for await (const chunk of body) yield chunk
  } catch (cause) {
    signal?.throwIfAborted()
    throw brokenOff(cause)
  }
}

function parsed(line: string): DiffLine {
  try {
    return JSON.parse(line) as DiffLine
  } catch (cause) {
    throw brokenOff(cause)
  }
}

const brokenOff = (cause?: unknown): AutovibeError =>
  new AutovibeError('hub.unreachable', 'The Hub broke off the difference before its end.', { cause, fix: 'Try again; autovibe doctor' })
