/** The Nodes of this machine: the one that measures, and an older one that a user may have. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

export interface FoundNode {
  readonly path: string
  /** `Node 20`, by its major version. */
  readonly name: string
}

export const currentNode: FoundNode = { path: process.execPath, name: `Node ${process.versions.node.split('.')[0]}` }

/** The first Node on PATH that is too old to run the checkout by itself; null when there is none. */
export function olderNode(): FoundNode | null {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, 'node')
    if (folder === '' || !existsSync(path)) continue
    const version = spawnSync(path, ['-p', 'process.versions.node'], { encoding: 'utf8' }).stdout?.trim() ?? ''
    const major = Number(version.split('.')[0])
    if (major >= 18 && major < 24) return { path, name: `Node ${major}` }
  }
  return null
}
