/**
 * Loaded into the process of each test file: a file whose tests are over ends, and leaves no process that speaks through it.
 * Node's runner waits for both without limit, so what hangs there would say nothing but the patience of whoever waits.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { after } from 'node:test'
import { isMainThread } from 'node:worker_threads'
import { end, orNull } from './host-processes.ts'

/** From the end of the last test on: the file's own clean-up comes after it, and ends clusters and machines. */
const LINGER_MS = 180_000
const LEFT_BEHIND_MS = 5_000
const LOOK_MS = 50

const file = process.argv[1] ?? ''

if (isMainThread && process.env['NODE_TEST_CONTEXT'] !== undefined && /\.(test|slow)\.ts$/.test(file)) {
  after(() => void setTimeout(endLingering, LINGER_MS).unref())
  process.on('exit', nameLeftBehind)
}

function endLingering(): void {
  const { libuv } = process.report.getReport() as { readonly libuv: readonly Handle[] }
  console.error(
    `${file}: its tests ended ${LINGER_MS / 1000} s ago, but something still holds its process: ${libuv.filter(isHolding).map(described).join('; ')}`,
  )
  process.exit(1)
}

/** As in the section `libuv` of Node's diagnostic report. */
interface Handle {
  readonly type: string
  readonly is_active: boolean
  readonly is_referenced?: boolean
  readonly fd?: number
  readonly pid?: number
}

const isHolding = ({ type, is_active, is_referenced, fd }: Handle): boolean => is_active && is_referenced === true && type !== 'loop' && fd !== 1 && fd !== 2

const described = ({ type, is_active: _, is_referenced: __, ...rest }: Handle): string =>
  `${type} ${JSON.stringify({ ...rest, address: undefined, command: rest.pid === undefined ? undefined : commandOf(rest.pid) })}`

/** A process that holds an end of our pipes keeps the runner waiting for what it may still say. */
function nameLeftBehind(): void {
  const pipes = new Set([1, 2].map(ownPipe).filter((pipe) => pipe !== null))
  for (const until = performance.now() + LEFT_BEHIND_MS; pipes.size > 0 && performance.now() < until && holders(pipes).length > 0; )
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_MS)
  const left = pipes.size > 0 ? holders(pipes) : []
  if (left.length === 0) return
  for (const pid of left) {
    console.error(`${file}: it left process ${pid} behind, which is ended now: ${commandOf(pid)}`)
    end(pid)
  }
  process.exitCode = 1
}

/** Node's pipes to a child are pairs of sockets, of which each end has a number of its own. */
function ownPipe(fd: number): string | null {
  const target = linkOf(`/proc/self/fd/${fd}`)
  return target !== null && /^(pipe|socket):/.test(target) ? target : null
}

const holders = (pipes: ReadonlySet<string>): number[] =>
  pids().filter((pid) => pid !== process.pid && pid !== process.ppid && [1, 2].some((fd) => pipes.has(linkOf(`/proc/${pid}/fd/${fd}`) ?? '')))

const pids = (): number[] => (orNull(() => readdirSync('/proc')) ?? []).filter((name) => /^\d+$/.test(name)).map(Number)

const commandOf = (pid: number): string => (orNull(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8')) ?? '').replaceAll('\0', ' ').trim()

const linkOf = (path: string): string | null => orNull(() => readlinkSync(path))
