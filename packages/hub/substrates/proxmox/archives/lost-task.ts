/** Finds the task again that takes an archive, when the answer that named it was lost. */
import { findLostTasks } from '../client/tasks.ts'
import type { Site } from '../site.ts'
import type { ArchiveRecord } from './records.ts'

/** How far the clock of a node may be behind ours, in seconds. */
const SKEW_S = 120

/** The task of a call whose answer was lost; null where it began none. */
export async function lostTask(site: Site, { asked_at, vmid, node, ended_upids }: ArchiveRecord, signal: AbortSignal): Promise<string | null> {
  if (asked_at === null) return null
  const known = new Set([...ended_upids, ...(await site.archives.all()).flatMap(({ upid }) => upid ?? [])])
  const tasks = await findLostTasks(site.client, node, { type: 'vzdump', vmid, sinceS: asked_at.getTime() / 1000, skewS: SKEW_S, known }, signal)
  // An administrator may back the same VM up, and so may a nightly rule of the cluster.
  return tasks.find(({ user }) => user === site.settings.archive.tokenId)?.upid ?? null
}
