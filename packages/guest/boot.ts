/** Which boot of the VM this is: told by a file in a folder that no boot leaves behind, so that a guest that is started again within a boot says the same. */
import { randomUUID } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'

const BootDocument = z.object({ id: z.string(), begun_ms: z.number() })

export interface Boot {
  readonly id: string
  upMs(): number
}

export async function readBoot(runFolder: string): Promise<Boot> {
  const file = join(runFolder, 'boot.json')
  const made = JSON.stringify({ id: randomUUID(), begun_ms: steadyMs() })
  await writeFile(file, made, { flag: 'wx', mode: 0o600 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  const { id, begun_ms } = BootDocument.parse(JSON.parse(await readFile(file, 'utf8')))
  return { id, upMs: () => Math.max(0, Math.round(steadyMs() - begun_ms)) }
}

/** The kernel's own clock, which goes on while processes come and go. */
const steadyMs = (): number => Number(process.hrtime.bigint()) / 1e6
