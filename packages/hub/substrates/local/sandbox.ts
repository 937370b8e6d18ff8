/** The command line of one machine: what bubblewrap shows and forbids, and the environment of its agent. */
import { existsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { AGENT_ENV, AutovibeError, MACHINE_PATHS } from '@autovibe/contract'
import type { Held } from './held.ts'
import { type Host, sharesHost } from './host.ts'
import { fence } from './landlock/fence.ts'
import { layerTree, type MachinePaths } from './layout.ts'
import { processLimits } from './process-limits.ts'
import { AGENT_UID, CACHE_INSIDE, OPT } from './skeleton.ts'

/** The parts of the checkout that the agent needs to run. */
export const AGENT_PARTS = ['packages/agent', 'packages/contract', 'packages/core', 'node_modules'] as const

/** Every namespace its own, no capabilities, no terminal, and an end with whoever started it. */
export const SANDBOX_FLAGS = [
  '--unshare-user',
  '--unshare-all',
  '--cap-drop',
  'ALL',
  '--new-session',
  '--die-with-parent',
  '--uid',
  String(AGENT_UID),
  '--gid',
  String(AGENT_UID),
] as const

/** Of /proc, what tells of the whole host's memory, keys and timers; most of it only to root, whom the kernel takes the agent for if the Hub is root. */
const HOST_STATE = [
  ...['kcore', 'keys', 'key-users', 'kmsg', 'kallsyms', 'kpagecount', 'kpageflags', 'kpagecgroup'],
  ...['slabinfo', 'vmallocinfo', 'pagetypeinfo', 'timer_list', 'sched_debug', 'latency_stats', 'sysrq-trigger'],
] as const

/** Memory file systems count as memory of the host; each is held to this. */
const MEMORY_FS_BYTES = 1024 ** 3

const RUN_FS_BYTES = 1024 ** 2

const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Says over descriptor 3 that everything is mounted, then becomes the agent. A Hub that has gone away meanwhile does not matter. */
const ANNOUNCE = '(trap "" PIPE; echo up >&3) 2>/dev/null; exec 3>&-; exec "$@"'

/** Where the supervisor opens the hidden arguments, and the filter of system calls. */
export const HIDDEN_FD = 8
export const FILTER_FD = 7

export interface MachineCommand {
  readonly argv: readonly string[]
  /** Arguments that bubblewrap reads from a file instead: its command line can be seen inside the machine, the host's paths need not be. */
  readonly hidden: readonly string[]
  /** The whole environment of a bare agent; inside a sandbox it is among the hidden arguments. */
  readonly env: Readonly<Record<string, string>>
}

/** `plainTree`: null when the overlay is mounted inside the skeleton, otherwise the layer that is the tree. `mark`: see `processMark`. */
export function machineCommand(host: Host, paths: MachinePaths, mark: string, name: string, plainTree: string | null, held: Held): MachineCommand {
  return sharesHost(host.offer) ? bareCommand(host, paths, mark, plainTree, held) : sandboxCommand(host, paths, name, plainTree, held)
}

function sandboxCommand(host: Host, paths: MachinePaths, name: string, plainTree: string | null, held: Held): MachineCommand {
  const { agentCode } = host.options
  const entry = agentCode.entry === undefined ? join(OPT, 'packages/agent/main.ts') : join(OPT, 'entry', basename(agentCode.entry))
  const cached = agentCode.entry === undefined && existsSync(host.cache)
  const readOnly: (readonly [string, string])[] = [
    ...codeBinds(host),
    [host.options.agentsDir, join(OPT, 'agents')],
    ...(agentCode.entry === undefined ? [] : [[agentCode.entry, entry] as const]),
    ...(cached ? [[host.cache, CACHE_INSIDE] as const] : []),
  ]
  const env = agentEnv({
    tree: MACHINE_PATHS.tree,
    home: MACHINE_PATHS.home,
    socket: MACHINE_PATHS.socket,
    token: MACHINE_PATHS.token,
    agents: join(OPT, 'agents'),
    path: `${OPT}/bin:${SYSTEM_PATH}`,
  })
  if (cached) env['NODE_COMPILE_CACHE'] = CACHE_INSIDE
  const memory = (path: string): string[] => [
    ...(host.offer.hardened ? ['--size', String(Math.min(MEMORY_FS_BYTES, held.limits.memory_bytes))] : []),
    '--perms',
    '1777',
    '--tmpfs',
    path,
  ]
  const hidden = [
    ...SANDBOX_FLAGS,
    ...(host.offer.hardened ? ['--disable-userns'] : []),
    ...(host.offer.filter === null ? [] : ['--seccomp', String(FILTER_FD)]),
    ...['--hostname', name],
    ...['--clearenv', ...Object.entries(env).flatMap(([key, value]) => ['--setenv', key, value])],
    ...['--bind', host.skeleton.folder, '/'],
    ...readOnly.flatMap(([from, to]) => ['--ro-bind', from, to]),
    ...(plainTree === null ? [] : ['--bind', layerTree(host.layout, plainTree), MACHINE_PATHS.tree]),
    // Inside, the agent is the Hub's own user to the kernel; if that is root, /proc/sys is open to it unless the mount forbids.
    ...['--proc', '/proc', ...hostState(), '--remount-ro', '/proc', '--dev', '/dev', ...memory('/dev/shm'), '--remount-ro', '/dev'],
    ...[
      ...memory('/tmp'),
      ...memory('/var/tmp'),
      ...(host.offer.hardened ? ['--size', String(RUN_FS_BYTES)] : []),
      '--tmpfs',
      '/run',
      '--ro-bind',
      paths.socketDir,
      MACHINE_PATHS.socketDir,
      '--remount-ro',
      '/run',
    ],
    ...['--remount-ro', '/', '--chdir', '/'],
  ]
  const argv = ['bwrap', '--args', String(HIDDEN_FD), '--', '/bin/sh', '-c', ANNOUNCE, 'sh', ...processLimits(host, held), join(OPT, 'bin/node'), entry]
  return { argv, hidden, env: {} }
}

/** Puts a device that cannot be opened over each. */
function hostState(): string[] {
  return HOST_STATE.filter((name) => existsSync(`/proc/${name}`)).flatMap((name) => ['--ro-bind', '/dev/null', `/proc/${name}`])
}

/** The programs of the host, the agent's code and the Node that runs it: host path, path inside. */
export function codeBinds(host: Host): readonly (readonly [string, string])[] {
  const { agentCode, nodePath } = host.options
  const parts = [...AGENT_PARTS, 'package.json'].map((part) => [join(agentCode.root, part), join(OPT, part)] as const)
  return [...host.skeleton.binds, ...parts, [nodePath, join(OPT, 'bin/node')]]
}

/** What a machine in the host's namespaces reads beside the host's programs. */
function codePaths(host: Host): string[] {
  const { agentCode, agentsDir, nodePath } = host.options
  const parts = [...AGENT_PARTS, 'package.json'].map((part) => join(agentCode.root, part))
  const entry = agentCode.entry === undefined ? [] : [agentCode.entry, ...manifestsAbove(agentCode.entry)]
  return [...parts, ...entry, ...manifestsAbove(agentCode.root), agentsDir, nodePath]
}

/** Node looks for one in every folder above a program, and gives up at one that is there and cannot be read. */
function manifestsAbove(path: string): string[] {
  const above = dirname(path)
  return above === path ? [] : [join(above, 'package.json'), ...manifestsAbove(above)]
}

function bareCommand(host: Host, paths: MachinePaths, mark: string, plainTree: string | null, held: Held): MachineCommand {
  if (plainTree === null)
    throw new AutovibeError('substrate.unavailable', 'The machine stands on overlay layers, which nothing but a sandbox can see.', {
      retryable: false,
      fix: 'Run autovibe doctor to see what is missing.',
    })
  const { agentCode, agentsDir, nodePath } = host.options
  const tree = layerTree(host.layout, plainTree)
  const agent = ['/bin/sh', '-c', ANNOUNCE, 'sh', ...processLimits(host, held), nodePath, agentCode.entry ?? join(agentCode.root, 'packages/agent/main.ts')]
  const isFenced = host.offer.isolation === 'I1'
  const read = [...codePaths(host), paths.socketDir, ...manifestsAbove(tree)]
  return {
    argv: isFenced ? fence(FILTER_FD, { read, write: [tree, paths.temporary] }, agent) : agent,
    hidden: [],
    env: {
      ...agentEnv({
        tree,
        home: join(tree, 'home'),
        socket: paths.socket,
        token: paths.token,
        agents: agentsDir,
        path: `${join(nodePath, '..')}:${SYSTEM_PATH}`,
      }),
      // git gives up at a configuration, or a repository above the tree, that is there and cannot be read.
      ...(isFenced ? { TMPDIR: paths.temporary, GIT_CONFIG_NOSYSTEM: '1', GIT_CEILING_DIRECTORIES: dirname(tree) } : {}),
      // How its processes are found again, whatever they become.
      AUTOVIBE_MACHINE: mark,
    },
  }
}

function agentEnv(paths: { tree: string; home: string; socket: string; token: string; agents: string; path: string }): Record<string, string> {
  return {
    PATH: paths.path,
    HOME: paths.home,
    USER: 'agent',
    LOGNAME: 'agent',
    SHELL: '/bin/sh',
    LANG: 'C.UTF-8',
    TERM: 'dumb',
    [AGENT_ENV.tree]: paths.tree,
    [AGENT_ENV.socket]: paths.socket,
    [AGENT_ENV.token]: paths.token,
    [AGENT_ENV.agents]: paths.agents,
  }
}
