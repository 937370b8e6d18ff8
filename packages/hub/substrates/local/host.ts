/** What this host was found to offer, and what the substrate was told at its making; every other file of the room takes its facts from here. */
import type { CopyTier, Finding, IsolationTier, MachineLimits } from '@autovibe/contract'
import type { HostSize } from '@autovibe/core/limits/choose.ts'
import type { DoorListener } from '../substrate.ts'
import type { Group } from './cgroups.ts'
import type { Layout } from './layout.ts'
import type { Mounter } from './mounter/mounter.ts'
import type { Skeleton } from './skeleton.ts'

/** Where the substrate tells the log what it repaired or had to leave; pino's shape. */
export interface SubstrateLogger {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface AgentCode {
  /** The checkout whose packages a machine sees, read-only. */
  readonly root: string
  /** A program (absolute path) to start instead of the checkout's agent. */
  readonly entry?: string
}

export interface LocalSubstrateOptions {
  /** Absolute; short enough that a socket beneath it can be bound. */
  readonly dataDir: string
  readonly agentCode: AgentCode
  /** The installed agent tools, which a machine sees read-only. */
  readonly agentsDir: string
  /** The Node binary that runs the agent. */
  readonly nodePath: string
  readonly door: DoorListener
  readonly logger: SubstrateLogger
  /** Booted machines that may wait for a project at once; none by default. They need sandboxes with overlay layers. */
  readonly warmMost?: number
  /** Tiers to use instead of the best that was found; refused when the host does not offer them. */
  readonly isolation?: IsolationTier
  readonly copy?: CopyTier
  /** Only control groups of this version, or none. */
  readonly groups?: 'v1' | 'v2' | 'none'
}

export interface Offer {
  readonly isolation: IsolationTier
  readonly copy: CopyTier
  /** Root mounts as it is; an ordinary user only inside a user namespace of its own. */
  readonly asRoot: boolean
  /** An ordinary user may make user namespaces, and so read and remove what its machines have locked against it. */
  readonly userNamespaces: boolean
  /** bubblewrap 0.8 and later: no further user namespaces inside, and limits on memory file systems. */
  readonly hardened: boolean
  /** Stacks of overlay layers can be mounted, whether new trees are made of them or not. */
  readonly overlay: boolean
  /** The file of the filter of system calls for machines of this tier; null when they run without one. */
  readonly filter: string | null
  /** The kernel's version of Landlock; 0 without. */
  readonly landlockAbi: number
  readonly findings: readonly Finding[]
}

/** All that the room's functions share. */
export interface Host {
  readonly layout: Layout
  readonly options: LocalSubstrateOptions
  readonly offer: Offer
  /** The root folder that machines started by this process see. */
  readonly skeleton: Skeleton
  /** Where the compile cache of the agent's code is, once it was made. */
  readonly cache: string
  /** Below which each machine gets a control group of its own; null where there are none to be had. */
  readonly groups: Group | null
  readonly mounter: Mounter
  /** The kernel's name for the time since the host was started. */
  readonly boot: string
  /** What a machine may take for which nobody says otherwise. */
  readonly defaultLimits: MachineLimits
  readonly size: HostSize
}

/** True where a machine's processes are those of the host, and its files lie at the host's paths: no namespaces. */
export const sharesHost = ({ isolation }: Pick<Offer, 'isolation'>): boolean => isolation === 'I1' || isolation === 'I0'

/** The words that put a command into a fresh mount namespace of its own. */
export function freshNamespace(asRoot: boolean): readonly [string, ...string[]] {
  return asRoot ? ['unshare', '-m', '--propagation', 'private'] : ['unshare', '-U', '-r', '-m', '--propagation', 'private']
}

/** The words that put a command into the mount namespace of a process. */
export function insideNamespaceOf(pid: number, asRoot: boolean): readonly [string, ...string[]] {
  return asRoot ? ['nsenter', '-t', String(pid), '-m', '--'] : ['nsenter', '-t', String(pid), '-U', '--preserve-credentials', '-m', '--']
}

/**
 * The words that put a command into the namespace of host names of a process inside a sandbox. An ordinary user may do so only from the user namespace around the
 * sandbox, that of its supervisor: the one in which the process itself is was made later than its host name's.
 */
export function insideNameOf(pid: number, supervisor: number, asRoot: boolean): readonly [string, ...string[]] {
  const enter = ['nsenter', '-t', String(pid), '-u', '--'] as const
  return asRoot ? enter : ['nsenter', '-t', String(supervisor), '-U', '--preserve-credentials', '--', ...enter]
}
