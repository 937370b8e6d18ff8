/** The root folder that machines see: empty mount points, the host's links to /usr, and an /etc that tells nothing of the host. */
import { createHash } from 'node:crypto'
import { chmod, lstat, mkdir, mkdtemp, readlink, rename, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { MACHINE_PATHS } from '@autovibe/contract'

/** Inside a machine. */
export const OPT = '/opt/autovibe'
export const AGENT_UID = 1000
/** Without its compile cache Node strips the types of each of the agent's files at each start, about 40 ms in all. */
export const CACHE_INSIDE = `${OPT}/cache`

/** Host folders that hold programs: linked as on the host, or bound where the host has real folders. */
const SYSTEM_FOLDERS = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'] as const

/** What of the host's /etc a machine may read: how to load programs, check certificates and tell the time. Never /etc/ssl/private. */
const ETC_BINDS = [
  'alternatives',
  'ssl/certs',
  'ssl/openssl.cnf',
  'ca-certificates.conf',
  'pki/tls/certs',
  'ld.so.cache',
  'ld.so.conf',
  'ld.so.conf.d',
  'localtime',
  'timezone',
  'mime.types',
  'services',
  'protocols',
] as const

const ETC_FILES: Readonly<Record<string, string>> = {
  passwd: `root:x:0:0:root:/root:/usr/sbin/nologin\nagent:x:${AGENT_UID}:${AGENT_UID}:agent:${MACHINE_PATHS.home}:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n`,
  group: `root:x:0:\nagent:x:${AGENT_UID}:\nnogroup:x:65534:\n`,
  hosts: '127.0.0.1 localhost\n::1 localhost\n',
  'nsswitch.conf': 'passwd: files\ngroup: files\nshadow: files\nhosts: files\n',
  'host.conf': 'multi on\n',
  shells: '/bin/sh\n/bin/bash\n',
}

export interface Skeleton {
  readonly folder: string
  /** What is bound read-only to complete it: host path, path inside. */
  readonly binds: readonly (readonly [string, string])[]
}

/**
 * The root folder beneath `roots`, made if it is missing. Its name tells its content and it is never changed: machines that run have it as
 * their root, and to remove a folder is to unmount what others have mounted there.
 */
export async function buildSkeleton(roots: string, packages: readonly string[]): Promise<Skeleton> {
  const folders = [
    'usr',
    'proc',
    'dev',
    'tmp',
    'run',
    'var/tmp',
    'etc',
    MACHINE_PATHS.tree.slice(1),
    ...[...packages, 'bin', 'agents', 'entry', 'cache'].map((name) => join(OPT.slice(1), name)),
  ]
  // Mount points that are files.
  const files: Record<string, string> = { [join(OPT.slice(1), 'package.json')]: '', [join(OPT.slice(1), 'bin/node')]: '' }
  for (const [name, text] of Object.entries(ETC_FILES)) files[join('etc', name)] = text
  const links: Record<string, string> = { 'etc/mtab': '/proc/self/mounts' }
  const binds: [string, string][] = [['/usr', '/usr']]
  for (const folder of SYSTEM_FOLDERS) {
    const link = await readlink(`/${folder}`).catch(() => null)
    if (link !== null) links[folder] = link
    else if (await isThere(`/${folder}`)) binds.push([`/${folder}`, `/${folder}`])
  }
  for (const name of ETC_BINDS) {
    if (await isThere(`/etc/${name}`)) binds.push([`/etc/${name}`, `/etc/${name}`])
  }
  const folder = join(
    roots,
    createHash('sha256')
      .update(JSON.stringify([folders, files, links]))
      .digest('hex')
      .slice(0, 16),
  )
  if (!(await isThere(folder))) await make(folder, folders, files, links)
  return { folder, binds }
}

async function make(
  folder: string,
  folders: readonly string[],
  files: Readonly<Record<string, string>>,
  links: Readonly<Record<string, string>>,
): Promise<void> {
  const fresh = await mkdtemp(join(dirname(folder), '.new-'))
  await chmod(fresh, 0o755)
  for (const path of folders) {
    await mkdir(join(fresh, path), { recursive: true })
    await chmod(join(fresh, path), 0o755)
  }
  for (const [path, text] of Object.entries(files)) {
    await writeFile(join(fresh, path), text)
    await chmod(join(fresh, path), 0o644)
  }
  for (const [path, target] of Object.entries(links)) await symlink(target, join(fresh, path))
  await rename(fresh, folder)
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}
