import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { backendConformance } from './conformance.ts'
import { openFolder } from './folder.ts'

backendConformance('a folder', async (t) => {
  const base = await mkdtemp(join(tmpdir(), 'autovibe-backend-'))
  t.after(() => rm(base, { recursive: true, force: true }))
  return await openFolder(join(base, 'store'), { isOwn: true })
})
