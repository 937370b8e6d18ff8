/** Which system calls a machine is refused, how, and why. What no rule names is allowed: the fence is made of namespaces, and this closes what they leave open. */
import type { Syscall } from './syscalls.ts'

/** EPERM where a program should learn that it may not; ENOSYS where programs probe for a newer call and fall back on an older one. */
export type Refusal = 'EPERM' | 'ENOSYS'
export const ERRNO: Readonly<Record<Refusal, number>> = { EPERM: 1, ENOSYS: 38 }

/**
 * Of an argument's low 32 bits, with `mask` laid over them. All arguments named here are 32-bit quantities to the kernel, which drops the
 * rest; comparing 64 bits would let a set high bit past the rule.
 */
export interface Condition {
  readonly argument: 0 | 1 | 2
  readonly mask?: number
  readonly is: 'one of' | 'none of'
  readonly values: readonly number[]
}

export interface Rule {
  readonly calls: readonly Syscall[]
  /** Refused only when all of these hold. */
  readonly when?: readonly Condition[]
  readonly refusal: Refusal
  readonly reason: string
}

/** `namespaced`: beneath bubblewrap, which has cut off network and processes already. `shared`: the machine stands in the host's namespaces. */
export type Surroundings = 'namespaced' | 'shared'

const CLONE_NEW = {
  time: 0x80,
  mount: 0x20000,
  cgroup: 0x2000000,
  uts: 0x4000000,
  ipc: 0x8000000,
  user: 0x10000000,
  pid: 0x20000000,
  net: 0x40000000,
}
const anyBitOf = (argument: Condition['argument'], mask: number): Condition => ({ argument, mask: mask >>> 0, is: 'none of', values: [0] })
const sum = (bits: readonly number[]): number => bits.reduce((all, bit) => (all | bit) >>> 0, 0)

const FAMILY = { unix: 1, ip4: 2, ip6: 10, netlink: 16 }
const NETLINK_ROUTE = 0
/** S_IFMT, S_IFCHR and S_IFBLK. */
const FILE_TYPE = { mask: 0o170000, characters: 0o020000, blocks: 0o060000 }
/** PER_LINUX, PER_LINUX32, UNAME26, ADDR_NO_RANDOMIZE (a debugger's), and the question for the present one. */
const HARMLESS_PERSONALITIES = [0, 0x8, 0x20000, 0x20008, 0x40000, 0xffffffff]
const TERMINAL = { TIOCSTI: 0x5412, TIOCLINUX: 0x541c }
/** linux/btrfs.h; the forms that make something and need no capability. */
const BTRFS = { SNAP_CREATE: 0x50009401, SUBVOL_CREATE: 0x5000940e, SNAP_CREATE_V2: 0x50009417, SUBVOL_CREATE_V2: 0x50009418 }

const COMMON: readonly Rule[] = [
  {
    calls: ['io_uring_setup', 'io_uring_enter', 'io_uring_register'],
    refusal: 'ENOSYS',
    reason: 'does files and sockets past every filter, and has a long row of holes',
  },
  { calls: ['bpf'], refusal: 'EPERM', reason: 'loads programs into the kernel' },
  { calls: ['userfaultfd'], refusal: 'EPERM', reason: 'stops the kernel in the middle of a copy, which turns small races into exploits' },
  { calls: ['perf_event_open'], refusal: 'EPERM', reason: 'measures other programs and the kernel' },
  { calls: ['add_key', 'request_key', 'keyctl'], refusal: 'EPERM', reason: 'keyrings belong to a user, not to a namespace: they would be the Hub’s' },
  {
    calls: ['init_module', 'finit_module', 'delete_module', 'create_module', 'query_module', 'get_kernel_syms'],
    refusal: 'EPERM',
    reason: 'changes the kernel',
  },
  { calls: ['kexec_load', 'kexec_file_load', 'reboot'], refusal: 'EPERM', reason: 'ends the kernel' },
  { calls: ['name_to_handle_at', 'open_by_handle_at'], refusal: 'EPERM', reason: 'opens files by number, past the mounts that hide them' },
  { calls: ['mount', 'umount2', 'pivot_root', 'chroot'], refusal: 'EPERM', reason: 'changes what is seen as the file system' },
  {
    calls: ['open_tree', 'open_tree_attr', 'move_mount', 'fsopen', 'fsconfig', 'fsmount', 'fspick', 'mount_setattr'],
    refusal: 'ENOSYS',
    reason: 'the newer calls for mounting; tools try them and fall back on mount, which is refused',
  },
  { calls: ['setns'], refusal: 'EPERM', reason: 'enters other namespaces' },
  {
    calls: ['unshare'],
    when: [anyBitOf(0, sum(Object.values(CLONE_NEW)))],
    refusal: 'EPERM',
    reason: 'namespaces of its own give a machine capabilities in them, and with them most of the kernel’s holes',
  },
  {
    calls: ['clone'],
    // CLONE_NEWTIME has the place of the exit signal here and can be asked for by unshare and clone3 only.
    when: [anyBitOf(0, sum(Object.values(CLONE_NEW)) & ~CLONE_NEW.time)],
    refusal: 'EPERM',
    reason: 'as unshare',
  },
  { calls: ['clone3'], refusal: 'ENOSYS', reason: 'its flags lie in memory, where a filter cannot see them; every libc falls back on clone' },
  { calls: ['acct', 'swapon', 'swapoff', 'quotactl', 'quotactl_fd', 'vhangup', 'nfsservctl'], refusal: 'EPERM', reason: 'administers the host' },
  { calls: ['sethostname', 'setdomainname'], refusal: 'EPERM', reason: 'the name of the machine is the Hub’s to give' },
  { calls: ['settimeofday', 'clock_settime', 'adjtimex', 'clock_adjtime'], refusal: 'EPERM', reason: 'the clock is the host’s' },
  { calls: ['syslog', 'lookup_dcookie'], refusal: 'EPERM', reason: 'tells of the kernel and of other programs' },
  { calls: ['iopl', 'ioperm', 'modify_ldt'], refusal: 'EPERM', reason: 'direct ways to the processor, which only emulators of old systems want' },
  { calls: ['uselib', 'sysfs', '_sysctl'], refusal: 'ENOSYS', reason: 'nothing has used it for decades' },
  {
    calls: ['personality'],
    when: [{ argument: 0, is: 'none of', values: HARMLESS_PERSONALITIES }],
    refusal: 'EPERM',
    reason: 'other personalities switch off protections of memory',
  },
  {
    calls: ['ioctl'],
    when: [{ argument: 1, is: 'one of', values: Object.values(TERMINAL) }],
    refusal: 'EPERM',
    reason: 'types into the terminal of whoever started it',
  },
  {
    calls: ['ioctl'],
    when: [{ argument: 1, is: 'one of', values: Object.values(BTRFS) }],
    refusal: 'EPERM',
    reason: 'a btrfs subvolume inside a tree would be missing from every snapshot of it',
  },
  {
    calls: ['mknod'],
    when: [{ argument: 1, mask: FILE_TYPE.mask, is: 'one of', values: [FILE_TYPE.characters, FILE_TYPE.blocks] }],
    refusal: 'EPERM',
    reason: 'device nodes; pipes and sockets remain',
  },
  {
    calls: ['mknodat'],
    when: [{ argument: 2, mask: FILE_TYPE.mask, is: 'one of', values: [FILE_TYPE.characters, FILE_TYPE.blocks] }],
    refusal: 'EPERM',
    reason: 'as mknod',
  },
  {
    calls: ['socket', 'socketpair'],
    when: [
      { argument: 0, is: 'one of', values: [FAMILY.netlink] },
      { argument: 2, is: 'none of', values: [NETLINK_ROUTE] },
    ],
    refusal: 'EPERM',
    reason: 'of netlink only the list of addresses is needed (getifaddrs); the rest configures firewalls, audit and cryptography',
  },
]

const families = (allowed: readonly number[], reason: string): Rule => ({
  calls: ['socket', 'socketpair'],
  when: [{ argument: 0, is: 'none of', values: allowed }],
  refusal: 'EPERM',
  reason,
})

/**
 * ptrace and the reading of another process's memory are allowed where a machine has its own process namespace, so that debuggers work: it can
 * name none but its own processes, and since Linux 4.8 a filter looks at a call after a tracer has changed it.
 */
const BY_SURROUNDINGS: Readonly<Record<Surroundings, readonly Rule[]>> = {
  namespaced: [
    families(
      [FAMILY.unix, FAMILY.ip4, FAMILY.ip6, FAMILY.netlink],
      'vsock reaches the hypervisor past every network namespace; packet, alg, bluetooth, rds and tipc are holes in many kernels',
    ),
  ],
  shared: [
    families([FAMILY.unix, FAMILY.netlink], 'the network is the host’s: without IP sockets nothing but the Hub’s own socket is left'),
    {
      calls: ['ptrace', 'process_vm_readv', 'process_vm_writev', 'pidfd_getfd', 'kcmp'],
      refusal: 'EPERM',
      reason: 'the processes of the host can be named; Landlock refuses those outside, and one fence is too few',
    },
  ],
}

export const rulesFor = (surroundings: Surroundings): readonly Rule[] => [...COMMON, ...BY_SURROUNDINGS[surroundings]]
