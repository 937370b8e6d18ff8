/** What the checkpoints of projects take in the store. */
import { AutovibeError, type Checkpoint } from '@autovibe/contract'
import type { Autovibe } from '@autovibe/sdk'
import type { Context } from '../context.ts'
import type { NamedStorage } from '../render/retention.ts'

/** A list over more projects than these says of the others nothing. */
const PROJECTS_SHOWN = 20

/** What the projects of these checkpoints take. One whose store cannot be read is told of, and left out. */
export async function storageOf({ out, signal }: Context, client: Autovibe, checkpoints: readonly Checkpoint[]): Promise<NamedStorage[]> {
  const found: NamedStorage[] = []
  const projects = [...new Set(checkpoints.map(({ project_id }) => project_id))].slice(0, PROJECTS_SHOWN)
  for (const id of projects) {
    try {
      const [{ name }, storage] = await Promise.all([client.projects.get(id, { signal }), client.projects.storage(id, { signal })])
      found.push({ project: name, ...storage })
    } catch (error) {
      if (!(error instanceof AutovibeError) || error.code !== 'checkpoint.corrupt') throw error
      out.note(`What ${id} takes cannot be told: ${error.message}`)
    }
  }
  return found
}
