/** The one process that holds a machine up: it outlives the Hub, owns the mount namespace, and takes everything down with it when it ends. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, open, writeFile } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { AutovibeError, isId, type MachineId } from '@autovibe/contract'
import { doorsOf, emptyGroup, type Group, holds } from './cgroups.ts'
import { TOOL_ENV, toolFailure } from './command.ts'
import { type MachineDocument, removeFile } from './documents.ts'
import type { Held } from './held.ts'
import { freshNamespace, type Host, sharesHost } from './host.ts'
import { coverInherited } from './inherited.ts'
import { discard } from './layers.ts'
import { type MachinePaths, machinePaths, processMark } from './layout.ts'
import { findMarked, type Marked } from './marked.ts'
import { overlayOptions, treeIn } from './overlay.ts'
import { descendantPids, descendants, endAll, isAlive, listProcesses, type Process, parseStat, readProcess, signalProcess } from './processes.ts'
import { FILTER_FD, HIDDEN_FD, type MachineCommand, machineCommand } from './sandbox.ts'

/** The start of what the agent writes is kept; the rest is read and thrown away, so that it neither blocks nor fills the disk. */
const LOG_BYTES = 256 * 1024
const START_TIMEOUT_MS = 20_000
const END_TIMEOUT_MS = 10_000
const EXIT_LOCKED = 75
/** The unit of `ulimit -f` (POSIX). */
const FILE_BLOCK_BYTES = 512

/** In place of mount options: the tree comes later, when its options and its upper layer are written to a pipe beside the pid file. What cannot be mounted ends the machine. */
const TREE_LATER = 'later'

/** Mounts what it is told of; ends with the supervisor, or ends it. */
const MOUNT_LATER = 'read -r options upper <"$1" && cd "$2" && mount -n -t overlay -o "$options" "$upper" "$3" || kill -KILL $PPID'

/**
 * Arguments: pid file, lock, log, skeleton, layers, tree, mount options ('' for a plain tree, `TREE_LATER`), upper, file of
 * hidden arguments, filter of system calls ('' for none), control groups to join, the largest file in blocks of 512 bytes; then the command.
 * Descriptor 3 tells the Hub how it went;
 * 9 holds the lock for as long as the machine runs. bubblewrap is a direct child of this shell, so that it dies with it; its environment can be
 * read inside, and so is empty. A largest file that is above what the Hub itself may write is no failure: then that holds.
 * Its standard input is an empty pipe: through a descriptor of the host's /dev/null its owner could change that file's mode.
 */
const supervisorScript = (first: string): string => `
exec 2>&3
umask 077
pid=$1 lock=$2 log=$3 skeleton=$4 layers=$5 tree=$6 options=$7 upper=$8 hidden=$9; shift 9
filter=$1 groups=$2 file_blocks=$3; shift 3
exec 9>"$lock"
flock -n 9 || exit ${EXIT_LOCKED}
ulimit -c 0
ulimit -f "$file_blocks" 2>/dev/null || :
IFS='
'; set -f
join() { for group in $groups; do echo $$ >"$group" || exit 1; done; }
join & joined=$!
read -r stat </proc/$$/stat && echo "$stat" >"$pid" || exit 1
${first}
if [ -n "$options" ]; then
  mount -n --bind --make-shared "$skeleton" "$skeleton" || exit 1
  if [ "$options" = ${TREE_LATER} ]; then
    mkfifo -m 600 "$pid.tree" || exit 1
    setpriv --pdeathsig KILL sh -c '${MOUNT_LATER}' "$0" "$pid.tree" "$layers" "$tree" </dev/null 3>&- 9>&- &
  else
    cd "$layers" && mount -n -t overlay -o "$options" "$upper" "$tree" || exit 1
    cd /
  fi
fi
wait $joined || exit 1
exec ${HIDDEN_FD}<"$hidden" || exit 1
if [ -n "$filter" ]; then exec ${FILTER_FD}<"$filter" || exit 1; fi
case $1 in bwrap) shift; set -- env -i "$(command -v bwrap)" "$@";; esac
: | "$@" 2>&1 9>&- | { exec 3>&- ${HIDDEN_FD}<&- ${FILTER_FD}<&- 9>&- 2>/dev/null; head -c ${LOG_BYTES} >"$log"; exec cat >/dev/null; }`

/** The device files inside are those of the host, which belong to the Hub's user if that is root; what is mounted read-only may be written to but keeps its mode. */
const DEVICES_READ_ONLY = 'mount -n --bind -o ro /dev /dev || exit 1'

/** Starts the machine and returns when its agent was started. A machine that runs already is left alone. */
export async function startSupervisor(host: Host, machineId: MachineId, document: MachineDocument, held: Held, signal: AbortSignal): Promise<void> {
  const overlay = document.copy === 'overlay'
  const paths = machinePaths(host.layout, machineId)
  if (host.offer.isolation === 'I1') {
    // As a /tmp in memory would be: empty at each start.
    await discard(host, paths.temporary)
    await mkdir(paths.temporary, { recursive: true, mode: 0o700 })
  }
  const command = machineCommand(host, paths, processMark(host.layout, machineId), document.name, overlay ? null : document.upper, held)
  const options = overlay ? overlayOptions(document.layers, document.upper, host.offer.asRoot) : ''
  await launch(host, { mark: machineId, paths, command, options, upper: document.upper, held }, signal)
}

/** Starts a machine that has no tree yet and returns when its agent was started, which waits for its token. */
export async function startEmpty(host: Host, slot: MachineId, paths: MachinePaths, name: string, held: Held, signal: AbortSignal): Promise<void> {
  const command = machineCommand(host, paths, processMark(host.layout, slot), name, null, held)
  await launch(host, { mark: slot, paths, command, options: TREE_LATER, upper: '', held }, signal)
}

interface Launch {
  /** By which its processes are known. */
  readonly mark: MachineId
  readonly paths: MachinePaths
  readonly command: MachineCommand
  readonly options: string
  readonly upper: string
  readonly held: Held
}

async function launch(host: Host, { mark, paths, command, options, upper, held }: Launch, signal: AbortSignal): Promise<void> {
  const ownsDevices = host.offer.asRoot && !sharesHost(host.offer)
  await mkdir(paths.socketDir, { recursive: true, mode: 0o700 })
  await writeFile(paths.arguments, command.hidden.map((argument) => `${argument}\0`).join(''), { mode: 0o600 })
  const script = [
    'sh',
    '-c',
    supervisorScript(ownsDevices ? DEVICES_READ_ONLY : ''),
    processMark(host.layout, mark),
    paths.pid,
    paths.lock,
    paths.log,
    host.skeleton.folder,
    host.layout.layers,
    treeIn(host.skeleton.folder),
    options,
    upper,
    paths.arguments,
    host.offer.filter ?? '',
    held.group === null ? '' : doorsOf(held.group).join('\n'),
    String(Math.ceil(held.limits.disk_bytes / FILE_BLOCK_BYTES)),
    ...command.argv,
  ]
  const [first = 'sh', ...rest] = options !== '' || ownsDevices ? [...freshNamespace(host.offer.asRoot), ...script] : script
  // Detached: a session of its own, so that neither the Hub's end nor a Ctrl-C in its terminal reaches the machine.
  const child = spawn(first, rest, {
    detached: true,
    cwd: '/',
    env: sharesHost(host.offer) ? command.env : TOOL_ENV,
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', ...coverInherited(4)],
  })
  for (const cover of child.stdio.slice(4)) (cover as Readable | null)?.destroy()
  child.unref()
  const said = await firstWord(child, child.stdio[3] as Readable, signal)
  if (said.word === 'up') return
  if (said.code === EXIT_LOCKED) return
  await endMarked(host, new Set([mark]))
  await removeFile(paths.pid)
  throw toolFailure('Starting the machine', `${said.word}\n${await readLog(paths)}`)
}

/** The marks that the machine's processes may carry: its own, and that of the slot which it took over. */
export function marksOf(host: Host, machineId: MachineId): ReadonlySet<MachineId> {
  const slot = slotOf(host, machineId)
  return new Set(slot === null ? [machineId] : [machineId, slot])
}

/** The slot whose processes the machine took over; null when it has its own. */
export function slotOf(host: Host, machineId: MachineId): MachineId | null {
  try {
    const name = readFileSync(machinePaths(host.layout, machineId).slot, 'utf8')
    return isId('machine', name) ? name : null
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** The supervisor of this machine, if it runs: by its pid file, or else by its mark in /proc. */
export async function findSupervisor(host: Host, machineId: MachineId): Promise<Process | null> {
  const written = await writtenSupervisor(machinePaths(host.layout, machineId))
  if (written !== null) return written
  const marks = marksOf(host, machineId)
  return topMost((await findMarked(host.layout)).filter((process) => marks.has(process.machineId)))
}

/** The supervisor that its pid file names, if it lives. */
export async function writtenSupervisor({ pid }: MachinePaths): Promise<Process | null> {
  const written = parseStat(existsSync(pid) ? readFileSync(pid, 'latin1') : '')
  const now = written && readProcess(written.pid)
  return now && isAlive(now) && now.startTicks === written?.startTicks ? now : null
}

/** Of processes with the same mark, the one that the others come from. */
export function topMost(marked: readonly Marked[]): Marked | null {
  return marked.find((process) => !marked.some((other) => other.pid === process.parent)) ?? null
}

/** Every process of the machine but the supervisor itself. */
export async function machineProcesses(host: Host, machineId: MachineId, supervisor: Process, all?: readonly Process[]): Promise<Process[]> {
  const below = all === undefined ? descendantPids(supervisor.pid).flatMap((pid) => aliveOrNone(pid)) : descendants(supervisor.pid, all)
  if (!sharesHost(host.offer)) return below
  // A bare process may have left its parent; its environment gives it away.
  const marked = (await findMarked(host.layout)).filter((process) => process.machineId === machineId && process.pid !== supervisor.pid)
  return [...below, ...marked.filter((process) => !below.some((other) => other.pid === process.pid))]
}

function aliveOrNone(pid: number): Process[] {
  const process = readProcess(pid)
  return process !== null && isAlive(process) ? [process] : []
}

/**
 * Ends every process of the machine and returns when none is left. Throws `substrate.failed` when one cannot be ended. What a supervisor has started that is in the machine's
 * group is there too, and cannot leave it from inside a sandbox; otherwise every process of the host is looked at.
 */
export async function endMachine(host: Host, machineId: MachineId, group: Group | null): Promise<void> {
  const paths = machinePaths(host.layout, machineId)
  const supervisor = await writtenSupervisor(paths)
  if (group !== null && supervisor !== null && !sharesHost(host.offer) && holds(group, supervisor.pid)) {
    signalProcess(supervisor, 'SIGKILL')
    await emptyGroup(group)
  } else await endMarked(host, marksOf(host, machineId))
  await removeFile(paths.pid)
}

/** Ends every process that carries one of these marks, and all that came from it. */
export async function endMarked(host: Host, marks: ReadonlySet<MachineId>): Promise<void> {
  await endAll(async () => {
    const marked = (await findMarked(host.layout)).filter((process) => marks.has(process.machineId))
    if (marked.length === 0) return []
    const all = listProcesses()
    return [...marked, ...marked.flatMap((process) => descendants(process.pid, all))]
  }, END_TIMEOUT_MS)
}

/** What the agent wrote first, for a person to read. */
export async function readLog({ log }: MachinePaths): Promise<string> {
  try {
    const file = await open(log, 'r')
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(16 * 1024), 0, 16 * 1024, 0)
      return buffer.toString('utf8', 0, bytesRead)
    } finally {
      await file.close()
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}

/** What the supervisor said before it was up or ended. */
function firstWord(child: ReturnType<typeof spawn>, voice: Readable, signal: AbortSignal): Promise<{ word: string; code: number | null }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ word: string; code: number | null }>()
  let heard = ''
  const settle = (finish: () => void): void => {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
    voice.destroy()
    finish()
  }
  const fail = (error: AutovibeError): void => {
    child.kill('SIGKILL')
    settle(() => reject(error))
  }
  const onAbort = (): void => fail(new AutovibeError('operation.cancelled', 'Starting the machine was cancelled.'))
  const timer = setTimeout(
    () => fail(new AutovibeError('substrate.failed', `The machine did not come up within ${START_TIMEOUT_MS} ms.`, { retryable: true })),
    START_TIMEOUT_MS,
  )
  signal.addEventListener('abort', onAbort, { once: true })
  voice.on('error', () => undefined)
  voice.on('data', (chunk: Buffer) => {
    if (heard.length < 8192) heard += chunk.toString('utf8')
    if (/(?:^|\n)up\n/.test(heard)) settle(() => resolve({ word: 'up', code: null }))
  })
  child.once('error', (error) =>
    settle(() => reject(new AutovibeError('substrate.unavailable', `The machine cannot be started: ${error.message}.`, { cause: error }))),
  )
  child.once('exit', (code) => {
    const end = (): void => settle(() => resolve({ word: heard, code }))
    if (voice.closed) end()
    else voice.once('close', end)
  })
  return promise
}
