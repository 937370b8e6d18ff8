/** What the machine remembers of its Claude Code session, in the tree, so that a fork or a restart goes on with it. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface Memory {
  readonly session_id: string | null
  readonly run_id: string
  /** The last step of that run. */
  readonly step: number
  /** The session was given the run's order, and with it this notice of the Hub. */
  readonly had_order: boolean
  readonly notice: string | null
  /** The session's cost when the run began, and now, in nano-US-dollars. */
  readonly cost_before: string
  readonly cost_now: string
  /** False once an invocation ended without telling its cost: the figure is then no second opinion any more. */
  readonly is_cost_whole: boolean
}

/** What this run begins with: its own memory after a restart, the earlier session when it shall be continued, nothing otherwise. */
export async function recall(home: string, runId: string, resume: boolean): Promise<Memory> {
  const last = await read(home)
  if (last?.run_id === runId) return last
  const fresh = { run_id: runId, step: 0, had_order: false, notice: null, is_cost_whole: true } as const
  const session = resume ? (last?.session_id ?? null) : null
  const cost = session === null ? '0' : (last?.cost_now ?? '0')
  return { ...fresh, session_id: session, cost_before: cost, cost_now: cost }
}

export async function remember(home: string, memory: Memory): Promise<void> {
  const file = fileOf(home)
  await mkdir(join(home, '.autovibe'), { recursive: true })
  await writeFile(`${file}.new`, JSON.stringify(memory))
  await rename(`${file}.new`, file)
}

async function read(home: string): Promise<Memory | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(fileOf(home), 'utf8'))
    return isMemory(value) ? value : undefined
  } catch (error) {
    if (error instanceof SyntaxError || (error instanceof Error && 'code' in error && error.code === 'ENOENT')) return undefined
    throw error
  }
}

function fileOf(home: string): string {
  return join(home, '.autovibe', 'claude-code.json')
}

/** The file lies in the agent's reach, so its shape is not trusted. */
function isMemory(value: unknown): value is Memory {
  if (typeof value !== 'object' || value === null) return false
  const { session_id, run_id, step, had_order, notice, cost_before, cost_now, is_cost_whole } = value as Record<string, unknown>
  const isSession = session_id === null || (typeof session_id === 'string' && /^[0-9A-Za-z-]{1,200}$/.test(session_id))
  const isCost = [cost_before, cost_now].every((cost) => typeof cost === 'string' && /^[0-9]{1,18}$/.test(cost))
  const areFlags = typeof had_order === 'boolean' && typeof is_cost_whole === 'boolean'
  return isSession && isCost && areFlags && typeof run_id === 'string' && Number.isSafeInteger(step) && (notice === null || typeof notice === 'string')
}
