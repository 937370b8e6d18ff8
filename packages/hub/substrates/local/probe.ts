/** Finds out what this host offers by doing each thing once, all at the same time; what fails is named with the command that cures it. */
import { constants, copyFile, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { AutovibeError } from '@autovibe/contract'
import { deleteSubvolume, liesOnBtrfs, replaceBySnapshot, replaceBySubvolume } from './btrfs.ts'
import { run } from './command.ts'
import { substrateFindings } from './findings.ts'
import { freshNamespace, type LocalSubstrateOptions, type Offer } from './host.ts'
import { FENCE_SCRIPT, fence } from './landlock/fence.ts'
import { removeTree } from './layers.ts'
import { type Layout, machinePaths, SOCKET_PATH_BYTES } from './layout.ts'
import { MOUNTER_SCRIPT, orderOf } from './mounter/mounter.ts'
import { type Filters, writeFilters } from './seccomp/files.ts'
import { chooseTiers, type HostFacts, type Outcome, type Outcomes } from './tiers.ts'

const PROBE_TIMEOUT_MS = 5_000
/** linux/capability.h */
const CAP_SYS_ADMIN = 21n

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

/** Mounts, writes, puts a new layer above as a snapshot does, and starts a sandbox inside of it. */
const OVERLAY = `
mount -n --bind --make-shared "$1/root" "$1/root" && cd "$1" || exit 1
mount -n -t overlay -o "lowerdir=a:b,upperdir=c,workdir=d,$2" probe "$1/root/tree" || exit 1
rm "$1/root/tree/file" || exit 1
for tool in nsenter flock perl; do command -v $tool >/dev/null || { echo "$tool is missing" >&2; exit 1; }; done
said=$(echo "1 $$ 0 $3" | perl "$4" "$5")
[ "$said" = '1 done' ] || { echo "$said" >&2; exit 1; }
shift 5
exec "$@"`

/** Opens the filter where the command that follows looks for it. */
const WITH_FILTER = 'exec 7<"$1"; shift; exec "$@"'
const FILTER_FD = 7
/** Anyone may make what they read executable, so only a filter refuses it; the same tool without that wish must work. */
const FILTERED =
  'setarch "$(uname -m)" true && ! setarch "$(uname -m)" --read-implies-exec true 2>/dev/null || { echo "a filtered call was not refused" >&2; exit 1; }'
/** Within the fence: a file inside is written, one outside is not read, and there is no IP socket. */
const FENCED = `
use Socket;
open(my $inside, '>', "$ARGV[0]/inside") or die "cannot write inside: $!\n";
open(my $outside, '<', $ARGV[1]) and die "a file outside could be read\n";
socket(my $socket, AF_INET, SOCK_STREAM, 0) and die "an IP socket could be made\n"`
const NO_FILTER = `no numbers of system calls are known for ${process.arch}`

/** The offer of this host. Throws `substrate.unavailable` when a forced tier cannot be had, or the data directory's path is too long for sockets. */
export async function probeHost(layout: Layout, options: LocalSubstrateOptions): Promise<Offer> {
  assertSocketFits(layout)
  const asRoot = process.getuid?.() === 0
  const filters = await writeFilters(layout)
  // In the trash from the start: what a crash leaves of it is emptied with the rest.
  const folder = await mkdtemp(join(layout.trash, 'probe-'))
  let ownersRights = false
  try {
    const [sandbox, hardened, seccomp, landlock, landlockAbi, overlay, btrfs, reflink, userNamespaces, facts] = await Promise.all([
      attempt('bwrap', [...BASE_SANDBOX, '--', 'true']),
      attempt('bwrap', [...BASE_SANDBOX, ...HARDENED, '--', 'true']),
      probeSeccomp(filters),
      probeLandlock(folder, filters),
      readLandlockAbi(),
      probeOverlay(folder, asRoot),
      probeBtrfs(folder),
      probeReflink(folder),
      attempt('unshare', ['-U', '-r', 'true']),
      readFacts(),
    ])
    ownersRights = !asRoot && userNamespaces === null
    const outcomes: Outcomes = { asRoot, sandbox, hardened, seccomp, landlock, landlockAbi, userNamespaces, overlay, btrfs, reflink, facts }
    const tiers = chooseTiers(outcomes, options)
    const filter = { I4: false, I3: seccomp === null, I2: seccomp === null, I1: true, I0: false }[tiers.isolation]
    return {
      ...tiers,
      asRoot,
      userNamespaces: userNamespaces === null,
      hardened: hardened === null,
      overlay: sandbox === null && overlay === null,
      filter: filter ? (filters?.[tiers.isolation === 'I1' ? 'shared' : 'namespaced'] ?? null) : null,
      landlockAbi,
      findings: substrateFindings(outcomes),
    }
  } finally {
    await removeTree(folder, ownersRights)
  }
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
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f', 'root/tree']) await mkdir(join(folder, name), { recursive: true })
  await writeFile(join(folder, 'a/file'), 'x')
  const [command, ...args] = freshNamespace(asRoot)
  const own = `${asRoot ? 'redirect_dir=nofollow' : 'userxattr'},index=off`
  const swap = orderOf(join(folder, 'root/tree'), { act: 'swap', layers: folder, upper: 'probe', options: `lowerdir=c:a:b,upperdir=e,workdir=f,${own}` })
  const mount = ['sh', '-c', OVERLAY, 'sh', folder, own, swap, MOUNTER_SCRIPT, process.arch]
  return attempt(command, [...args, ...mount, 'bwrap', ...BASE_SANDBOX, '--', 'true'])
}

async function probeSeccomp(filters: Filters | null): Promise<Outcome> {
  if (filters === null) return NO_FILTER
  return attempt('sh', ['-c', WITH_FILTER, 'sh', filters.namespaced, 'bwrap', ...BASE_SANDBOX, '--seccomp', String(FILTER_FD), '--', 'sh', '-c', FILTERED])
}

async function probeLandlock(folder: string, filters: Filters | null): Promise<Outcome> {
  if (filters === null) return NO_FILTER
  const inside = join(folder, 'fenced')
  await mkdir(inside)
  await writeFile(join(folder, 'secret'), 'x')
  const command = fence(FILTER_FD, { read: [], write: [inside] }, ['perl', '-e', FENCED, inside, join(folder, 'secret')])
  return attempt('sh', ['-c', `command -v perl >/dev/null || { echo 'perl cannot be run' >&2; exit 1; }; ${WITH_FILTER}`, 'sh', filters.shared, ...command])
}

/** 0 for none, whatever the reason. */
async function readLandlockAbi(): Promise<number> {
  try {
    const ran = await run('perl', [FENCE_SCRIPT, 'abi'], { timeoutMs: PROBE_TIMEOUT_MS })
    return ran.code === 0 ? Number(ran.stdout.toString()) : 0
  } catch (error) {
    if (error instanceof AutovibeError) return 0
    throw error
  }
}

async function probeBtrfs(folder: string): Promise<Outcome> {
  if (!(await liesOnBtrfs(folder))) return 'the data directory does not lie on btrfs'
  const [one, two] = [join(folder, 'volume'), join(folder, 'volume-2')]
  try {
    for (const place of [one, two]) await mkdir(place)
    await replaceBySubvolume(one)
    await replaceBySnapshot(two, one)
    // Whoever may not delete them removes them as folders.
    for (const place of [one, two]) if (!(await deleteSubvolume(place))) await removeTree(place, false)
    return null
  } catch (error) {
    if (error instanceof AutovibeError) return error.message.includes('cannot be run') ? error.message : (error.internal ?? error.message)
    throw error
  }
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

async function readFacts(): Promise<HostFacts> {
  const read = (path: string): Promise<string> =>
    readFile(path, 'utf8').then(
      (text) => text.trim(),
      // A kernel without the switch does not forbid by it.
      () => '',
    )
  const [appArmor, most, clone, status] = await Promise.all([
    read('/proc/sys/kernel/apparmor_restrict_unprivileged_userns'),
    read('/proc/sys/user/max_user_namespaces'),
    read('/proc/sys/kernel/unprivileged_userns_clone'),
    read('/proc/self/status'),
  ])
  const bounding = BigInt(`0x${/^CapBnd:\s+([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`)
  return {
    appArmorRestricts: appArmor === '1',
    noUserNamespaces: most === '0',
    cloneForbidden: clone === '0',
    withoutSysAdmin: (bounding & (1n << CAP_SYS_ADMIN)) === 0n,
  }
}

function assertSocketFits(layout: Layout): void {
  const longest = machinePaths(layout, `mch_${'0'.repeat(26)}`).socket
  const excess = Buffer.byteLength(longest) - SOCKET_PATH_BYTES
  if (excess > 0)
    throw new AutovibeError('substrate.unavailable', `The path of the data directory is ${excess} bytes too long for the sockets beneath it.`, {
      retryable: false,
      fix: 'Use a shorter path: autovibe up --data-dir PATH',
    })
}
