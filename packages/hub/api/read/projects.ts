/** Projects as the wire shows them. */
import { AutovibeError, isId, type Page, type Project } from '@autovibe/contract'
import type { Database } from '../../database/database.ts'
import { idAfter, toPage } from '../plumbing/pages.ts'

const select = (db: Database) =>
  db
    .selectFrom('projects as p')
    .leftJoin('sources as s', 's.sha256', 'p.source_sha256')
    .select(['p.id', 'p.name', 'p.created_at', 's.sha256', 's.bytes', 's.commit', 's.base_commit', 's.branch', 's.dirty', 's.imported_at'])

type Row = Awaited<ReturnType<ReturnType<typeof select>['execute']>>[number]

export async function listProjects(db: Database, query: { limit: number; cursor?: string | undefined }): Promise<Page<Project>> {
  const after = idAfter<Project['id']>(query.cursor)
  const rows = await select(db)
    .$if(after !== undefined, (qb) => qb.where('p.id', '<', after as Project['id']))
    .orderBy('p.id', 'desc')
    .limit(query.limit + 1)
    .execute()
  return toPage(rows, query.limit, toProject, (row) => row.id)
}

/** By id or by name; `not_found` when there is none. */
export async function readProject(db: Database, idOrName: string): Promise<Project> {
  const query = isId('project', idOrName) ? select(db).where('p.id', '=', idOrName) : select(db).where('p.name', '=', idOrName)
  const row = await query.executeTakeFirst()
  if (!row) throw new AutovibeError('not_found', `There is no project ${idOrName}.`, { fix: 'GET /v1/projects lists them.' })
  return toProject(row)
}

function toProject(row: Row): Project {
  return {
    id: row.id,
    name: row.name,
    source:
      row.sha256 === null || row.bytes === null || row.commit === null || row.base_commit === null || row.dirty === null || row.imported_at === null
        ? null
        : {
            sha256: row.sha256,
            bytes: Number(row.bytes),
            commit: row.commit,
            base_commit: row.base_commit,
            branch: row.branch,
            dirty: row.dirty,
            imported_at: row.imported_at.toISOString(),
          },
    created_at: row.created_at.toISOString(),
  }
}
