/** Which files of this checkout a template needs: the guest, the agent and what both import, with the lists that npm installs by; no tests. */
import { createHash } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { AutovibeError } from '@autovibe/contract'

const ROOT = fileURLToPath(new URL('../../../../../', import.meta.url))
const TEMPLATE = 'deploy/proxmox/template'
/** Whole, but for tests. */
const ROOMS = ['packages/contract', 'packages/core', 'packages/guest', 'packages/agent']
const LEFT_OUT = /(?:^|\/)(?:node_modules|test|testing)(?:\/|$)|\.test\.ts$|\.md$|(?:^|\/)test-[^/]*\.ts$/
const FILES_MOST = 2_000
const BYTES_MOST = 32 * 1024 ** 2

export interface SeedFile {
  /** Below /opt/autovibe. */
  readonly path: string
  readonly from: string
  readonly sha256: string
  readonly isExecutable: boolean
}

export async function seedFiles(root = ROOT): Promise<{ readonly files: readonly SeedFile[]; readonly userData: string }> {
  const workspaces = (await readdir(join(root, 'packages'))).map((name) => `packages/${name}/package.json`)
  const inRooms = (await Promise.all(ROOMS.map((room) => filesBelow(root, room)))).flat()
  const inTemplate = ['install.sh', 'autovibe-guest.service', 'autovibe-rekey.service'].map((name) => `${TEMPLATE}/${name}`)
  const paths = [...new Set(['package.json', 'package-lock.json', ...workspaces, ...inRooms, ...inTemplate])].sort()
  if (paths.length > FILES_MOST) throw new AutovibeError('internal', `A template would take ${paths.length} files.`)
  const files: SeedFile[] = []
  let bytes = 0
  for (const path of paths) {
    const from = join(root, path)
    const content = await readFile(from).catch((cause: Error) => {
      throw new AutovibeError('internal', `The Hub's own file ${path} cannot be read, which belongs into a template.`, { cause, fix: 'Install the Hub anew.' })
    })
    bytes += content.length
    if (bytes > BYTES_MOST) throw new AutovibeError('internal', `A template would take more than ${BYTES_MOST} bytes of code.`)
    files.push({ path, from, sha256: createHash('sha256').update(content).digest('hex'), isExecutable: ((await stat(from)).mode & 0o100) !== 0 })
  }
  return { files, userData: await readFile(join(root, TEMPLATE, 'user-data.yaml'), 'utf8') }
}

async function filesBelow(root: string, folder: string): Promise<string[]> {
  const entries = await readdir(join(root, folder), { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.endsWith('/') ? root.length : root.length + 1))
    .filter((path) => !LEFT_OUT.test(path))
}
