/** Tasks: started, awaited to their end, told with their log's last lines, and found again when the answer that named them was lost. */
import { backoffMs } from '@autovibe/core/proxmox/backoff.ts'
import { oneLine } from '@autovibe/core/proxmox/failures.ts'
import { type LostTask, taskEnd, tasksOfLostCall } from '@autovibe/core/proxmox/task-ends.ts'
import { parseUpid, type Upid } from '@autovibe/core/proxmox/upid.ts'
import type { CallOptions, ProxmoxClient } from './client.ts'
import type { ParametersOf, TaskEndpointName } from './endpoints.ts'
import { ProxmoxError } from './errors.ts'

export interface AwaitOptions {
  readonly signal?: AbortSignal | undefined
  readonly deadlineMs: number
}

export interface TaskDone {
  readonly upid: string
  readonly warnings: number
  /** The last lines of its log, when there are warnings. */
  readonly log: readonly string[]
}

/** Starts a task and awaits it; `started` is told its UPID before it is asked after, so that a crash in between loses nothing. */
export async function runTask<N extends TaskEndpointName>(
  client: ProxmoxClient,
  name: N,
  parameters: ParametersOf<N>,
  options: CallOptions & AwaitOptions & { readonly started: (upid: string) => Promise<void> },
): Promise<TaskDone> {
  const upid = (await client.call(name, parameters, options)) as string
  await options.started(upid)
  return awaitTask(client, upid, options)
}

/**
 * Resolves when the task has done its work, with or without warnings. Rejects with a ProxmoxError: `task failed` (retryable when a lock was
 * in its way), `task vanished` (look at what it has done), or what kept us from asking until the deadline.
 */
export async function awaitTask(client: ProxmoxClient, text: string, options: AwaitOptions): Promise<TaskDone> {
  const upid = parseUpid(text)
  if (upid === null)
    throw new ProxmoxError('substrate.failed', `${JSON.stringify(text.slice(0, 100))} does not name a task.`, { kind: 'unreadable', call: 'a task' })
  const status = await ended(client, upid, options)
  const end = taskEnd(status)
  if (end.kind === 'done') return { upid: text, warnings: end.warnings, log: end.warnings > 0 ? await logTail(client, upid, options.signal) : [] }
  if (end.kind === 'vanished') throw vanished(upid, end.words)
  const log = await logTail(client, upid, options.signal)
  throw new ProxmoxError(
    'substrate.failed',
    `Proxmox: the task ${upid.type} of ${upid.id || 'the node'} on ${upid.node} failed: ${end.words}`,
    { kind: 'task failed', call: upid.type, upid: text, log },
    { retryable: end.locked, fix: `Its log has more: pvenode task log ${text}`, internal: log.join('\n') },
  )
}

/** Of the node's tasks those that a call may have started whose answer was lost, oldest first. Of a clone there may be several: its tasks are named by its source. */
export async function findLostTasks(client: ProxmoxClient, node: string, lost: LostTask, signal?: AbortSignal): Promise<Upid[]> {
  const since = Math.max(0, Math.floor(lost.sinceS - lost.skewS))
  const listed = await client.call(
    'GET /nodes/{node}/tasks',
    { node, vmid: lost.vmid, typefilter: lost.type, since, source: 'all', limit: MOST_LISTED },
    { signal },
  )
  return tasksOfLostCall(listed, lost).flatMap(({ upid }) => parseUpid(upid) ?? [])
}

const MOST_LISTED = 500

async function ended(client: ProxmoxClient, upid: Upid, { signal, deadlineMs }: AwaitOptions): Promise<string | undefined> {
  const endMs = client.clock.nowMs() + deadlineMs
  for (let attempt = 0; ; attempt += 1) {
    const late = client.clock.nowMs() >= endMs
    try {
      const { status, exitstatus } = await client.call('GET /nodes/{node}/tasks/{upid}/status', { node: upid.node, upid: upid.upid }, { signal })
      if (status === 'stopped') return exitstatus
      if (late) throw stillRunning(upid, deadlineMs)
    } catch (error) {
      if (!(error instanceof ProxmoxError)) throw error
      if (isUnknown(error)) throw vanished(upid, 'no such task')
      // A node that restarts is away for minutes; only afterwards it can say what became of the task.
      if (late || !error.retryable) throw error
    }
    await client.clock.pause(backoffMs(client.limits.poll, attempt, client.clock.chance()), signal)
  }
}

const isUnknown = (error: ProxmoxError): boolean =>
  error.kind === 'parameters' && error.errors?.some(({ path, message }) => path === 'upid' && /no such task/.test(message)) === true

const stillRunning = (upid: Upid, deadlineMs: number): ProxmoxError =>
  new ProxmoxError(
    'operation.deadline',
    `The task ${upid.type} of ${upid.id || 'the node'} on ${upid.node} still runs after ${deadlineMs} ms.`,
    { kind: 'failed', call: upid.type, upid: upid.upid },
    { fix: `See what it does: pvenode task log ${upid.upid}` },
  )

const vanished = (upid: Upid, words: string): ProxmoxError =>
  new ProxmoxError(
    'substrate.failed',
    `Proxmox: the task ${upid.type} of ${upid.id || 'the node'} on ${upid.node} ended without a last word (${words}); what it did is not known.`,
    { kind: 'task vanished', call: upid.type, upid: upid.upid },
    { retryable: true, fix: `See whether ${upid.node} has restarted, and what is left of VM ${upid.id}: qm config ${upid.id}` },
  )

/** What is told beside an error must not take its place. */
async function logTail(client: ProxmoxClient, { node, upid }: Upid, signal: AbortSignal | undefined): Promise<string[]> {
  const most = client.limits.logTail
  try {
    const { total = 0 } = await client.page('GET /nodes/{node}/tasks/{upid}/log', { node, upid, limit: 1 }, { signal })
    const lines = await client.call('GET /nodes/{node}/tasks/{upid}/log', { node, upid, start: Math.max(0, total - most), limit: most }, { signal })
    return lines.slice(-most).map(({ t }) => oneLine(t, MOST_LINE_CHARACTERS))
  } catch (error) {
    if (!(error instanceof ProxmoxError)) throw error
    return [`its log cannot be read: ${error.message}`]
  }
}

const MOST_LINE_CHARACTERS = 300
