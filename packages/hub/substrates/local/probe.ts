/** Finds out what this host offers by doing each thing once, all at the same time; what fails is named with the command that cures it. */
import { constants, copyFile, mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Finding } from '@autovibe/contract'
import { AutovibeError } from '@autovibe/contract'
import { run } from './command.ts'
import { freshNamespace, type LocalSubstrateOptions, type Offer } from './host.ts'
import { removeTree } from './layers.ts'
import { type Layout, machinePaths, SOCKET_PATH_BYTES } from './layout.ts'

const PROBE_TIMEOUT_MS = 5_000

/** `null` when it worked, otherwise what was said. */
type Outcome = string | null

const BASE_SANDBOX = [
  '--unshare-user',
  '--unshare-all',
  '--cap-drop',
  'ALL',
  '--new-session',
  '--die-with-parent',
  '--uid',
  '1000',
  '--gid',
  '1000',
  '--ro-bind',
  '/',
  '/',
  '--proc',
  '/proc',
  '--remount-ro',
  '/proc',
  '--dev',
  '/dev',
]
const HARDENED = ['--disable-userns', '--size', '1048576', '--tmpfs', '/tmp']

/** Mounts, writes, freezes as a snapshot does, enters the namespace from outside, and starts a sandbox inside of it. */
const OVERLAY = `
mount -n --bind --make-shared "$1/root" "$1/root" && cd "$1" || exit 1
mount -n -t overlay -o "lowerdir=a:b,upperdir=c,workdir=d,$2" probe "$1/root/tree" || exit 1
rm "$1/root/tree/file" && mount -n -o remount,ro "$1/root/tree" && umount -n -l "$1/root/tree" || exit 1
command -v nsenter flock >/dev/null || { echo 'nsenter or flock is missing' >&2; exit 1; }
shift 2
exec "$@"`

/** The offer of this host. Throws `substrate.unavailable` when a forced tier cannot be had, or the data directory's path is too long for sockets. */
export async function probeHost(layout: Layout, options: LocalSubstrateOptions): Promise<Offer> {
  assertSocketFits(layout)
  const asRoot = process.getuid?.() === 0
  // In the trash from the start: what a crash leaves of it is emptied with the rest.
  const folder = await mkdtemp(join(layout.trash, 'probe-'))
  let ownersRights = false
  try {
    const [sandbox, hardened, overlay, reflink, namespaces] = await Promise.all([
      attempt('bwrap', [...BASE_SANDBOX, '--', 'true']),
      attempt('bwrap', [...BASE_SANDBOX, ...HARDENED, '--', 'true']),
      probeOverlay(folder, asRoot),
      probeReflink(folder),
      attempt('unshare', ['-U', '-r', 'true']),
    ])
    ownersRights = !asRoot && namespaces === null
    const findings = [isolationFinding(sandbox, hardened, asRoot), overlayFinding(overlay), reflinkFinding(reflink, overlay)]
    const best = {
      isolation: sandbox === null ? (asRoot ? ('I3' as const) : ('I2' as const)) : ('I0' as const),
      copy: sandbox === null && overlay === null ? ('C3' as const) : reflink === null ? ('C2' as const) : ('C1' as const),
    }
    return { ...choose(best, options, reflink === null), asRoot, userNamespaces: namespaces === null, hardened: hardened === null, findings }
  } finally {
    await removeTree(folder, ownersRights)
  }
}

function choose(
  best: Pick<Offer, 'isolation' | 'copy'>,
  force: Pick<LocalSubstrateOptions, 'isolation' | 'copy'>,
  reflinks: boolean,
): Pick<Offer, 'isolation' | 'copy'> {
  const isolation = force.isolation ?? best.isolation
  const copy = force.copy ?? (isolation === 'I0' && best.copy === 'C3' ? (reflinks ? 'C2' : 'C1') : best.copy)
  const possible =
    (isolation === best.isolation || isolation === 'I0') &&
    (copy === best.copy || copy === 'C1' || (copy === 'C2' && reflinks)) &&
    !(isolation === 'I0' && copy === 'C3')
  if (!possible) {
    throw new AutovibeError('substrate.unavailable', `This host offers ${best.isolation} with ${best.copy}, not ${isolation} with ${copy}.`, {
      retryable: false,
      fix: 'Run autovibe doctor to see what is missing.',
    })
  }
  return { isolation, copy }
}

async function attempt(command: string, args: readonly string[]): Promise<Outcome> {
  try {
    const ran = await run(command, args, { timeoutMs: PROBE_TIMEOUT_MS })
    return ran.code === 0 ? null : ran.stderr || `${command} ended with ${ran.code ?? 'a signal'}`
  } catch (error) {
    if (error instanceof AutovibeError) return error.message
    throw error
  }
}

async function probeOverlay(folder: string, asRoot: boolean): Promise<Outcome> {
  for (const name of ['a', 'b', 'c', 'd', 'root/tree']) await mkdir(join(folder, name), { recursive: true })
  await writeFile(join(folder, 'a/file'), 'x')
  const [command, ...args] = freshNamespace(asRoot)
  const mount = ['sh', '-c', OVERLAY, 'sh', folder, asRoot ? 'redirect_dir=nofollow' : 'userxattr']
  return attempt(command, [...args, ...mount, 'bwrap', ...BASE_SANDBOX, '--', 'true'])
}

async function probeReflink(folder: string): Promise<Outcome> {
  await writeFile(join(folder, 'one'), 'x'.repeat(4096))
  try {
    await copyFile(join(folder, 'one'), join(folder, 'two'), constants.COPYFILE_FICLONE_FORCE)
    return null
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error)
  }
}

function isolationFinding(sandbox: Outcome, hardened: Outcome, asRoot: boolean): Finding {
  const about = { area: 'substrate', name: 'isolation' }
  if (sandbox === null && hardened === null)
    return {
      ...about,
      status: 'ok',
      detail: `bubblewrap works ${asRoot ? 'as root (I3)' : 'as an ordinary user (I2)'}: all namespaces, no capabilities, no network but the Hub's socket`,
      fix: null,
    }
  if (sandbox === null) {
    return {
      ...about,
      status: 'warning',
      detail: `bubblewrap works, but is older than 0.8: memory file systems are not limited and namespaces inside are not forbidden (${firstLine(hardened)})`,
      fix: 'sudo apt-get install --only-upgrade bubblewrap',
    }
  }
  const missing = sandbox.includes('cannot be run')
  const restricted = /uid map|RTM_NEWADDR|Permission denied|Operation not permitted/.test(sandbox)
  const fix = missing
    ? 'sudo apt-get install bubblewrap'
    : restricted
      ? 'sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0'
      : 'sudo sysctl -w user.max_user_namespaces=15000'
  return {
    ...about,
    status: 'failed',
    detail: `${missing ? 'bubblewrap is not installed' : `bubblewrap does not work: ${firstLine(sandbox)}`}; machines are bare processes (I0)`,
    fix,
  }
}

function overlayFinding(overlay: Outcome): Finding {
  const about = { area: 'substrate', name: 'overlay' }
  if (overlay === null)
    return { ...about, status: 'ok', detail: 'overlay layers can be mounted and swapped (C3): fork and rollback take the same time for every size', fix: null }
  const fix = /missing|ENOENT/.test(overlay)
    ? 'sudo apt-get install bubblewrap util-linux'
    : /unknown filesystem|No such device/.test(overlay)
      ? 'sudo modprobe overlay'
      : 'Put the data directory on ext4, xfs or btrfs: autovibe up --data-dir PATH'
  return { ...about, status: 'warning', detail: `no overlay layers: ${firstLine(overlay)}; trees are copied`, fix }
}

function reflinkFinding(reflink: Outcome, overlay: Outcome): Finding {
  const about = { area: 'substrate', name: 'reflink' }
  if (reflink === null) return { ...about, status: 'ok', detail: 'copies share their blocks (C2)', fix: null }
  return {
    ...about,
    status: overlay === null ? 'ok' : 'warning',
    detail: `the data directory's file system cannot share blocks between copies (${reflink})${overlay === null ? '; not needed with overlay layers' : ''}`,
    fix: overlay === null ? null : 'Put the data directory on btrfs or xfs: autovibe up --data-dir PATH',
  }
}

const firstLine = (text: Outcome): string => (text ?? '').split('\n')[0]?.slice(0, 300) ?? ''

function assertSocketFits(layout: Layout): void {
  const longest = machinePaths(layout, `mch_${'0'.repeat(26)}`).socket
  const excess = Buffer.byteLength(longest) - SOCKET_PATH_BYTES
  if (excess > 0)
    throw new AutovibeError('substrate.unavailable', `The path of the data directory is ${excess} bytes too long for the sockets beneath it.`, {
      retryable: false,
      fix: 'Use a shorter path: autovibe up --data-dir PATH',
    })
}
