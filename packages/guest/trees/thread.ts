/** The thread that walks one tree: system calls one after the other are several times as fast as through promises, and keep nobody waiting here. */
import { parentPort } from 'node:worker_threads'
import { callFailure } from '../failures.ts'
import { changesBetween } from './compare.ts'
import { copyTree } from './copy-tree.ts'
import type { ThreadAnswer, ThreadWork } from './threads.ts'

/** Records are handed over together: a message costs as much as a small file. */
const CHUNK_BYTES = 512 * 1024
/** Chunks on their way, so that one is read while another is sent. */
const UNTAKEN_MAX = 4

const say = (answer: ThreadAnswer, transfer: ArrayBuffer[] = []): void => parentPort?.postMessage(answer, transfer)

parentPort?.on('message', (work: ThreadWork) => {
  try {
    if (work.kind === 'copy') say({ kind: 'copied', isQuiet: copyTree(work) })
    else tell(work)
  } catch (error) {
    const known = callFailure('Reading the machine’s tree', error)
    say({ kind: 'failed', problem: known.toProblem(), internal: known.internal ?? '' })
  }
})

function tell({ after, before, taken }: Extract<ThreadWork, { kind: 'changes' }>): void {
  const counter = new Int32Array(taken)
  let sent = 0
  for (const chunk of chunksOf(changesBetween(after, before))) {
    for (let now = Atomics.load(counter, 0); sent - now >= UNTAKEN_MAX; now = Atomics.load(counter, 0)) Atomics.wait(counter, 0, now)
    say({ kind: 'chunk', bytes: chunk }, [chunk.buffer])
    sent += 1
  }
  say({ kind: 'told' })
}

function* chunksOf(records: Iterable<Uint8Array>): Generator<Uint8Array<ArrayBuffer>, void> {
  let parts: Uint8Array[] = []
  let bytes = 0
  for (const record of records) {
    parts.push(record)
    bytes += record.length
    if (bytes < CHUNK_BYTES) continue
    yield joined(parts, bytes)
    parts = []
    bytes = 0
  }
  if (bytes > 0) yield joined(parts, bytes)
}

function joined(parts: readonly Uint8Array[], bytes: number): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(bytes)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
