/** Numbers of the system calls that a rule speaks of, for both architectures (asm/unistd_64.h, asm-generic/unistd.h); null where there is no such call. */

export const ARCHITECTURES = ['x64', 'arm64'] as const
export type Architecture = (typeof ARCHITECTURES)[number]

/** AUDIT_ARCH_X86_64 and AUDIT_ARCH_AARCH64 (linux/audit.h). */
export const AUDIT_ARCHITECTURE: Readonly<Record<Architecture, number>> = { x64: 0xc000003e, arm64: 0xc00000b7 }

/** On x64 the bit that marks a call of the x32 form (__X32_SYSCALL_BIT): other numbers, same architecture. */
export const X32_BIT = 0x40000000

/** The newest call that the rules were weighed against, file_setattr of Linux 6.17; from 424 on all architectures count alike. */
export const NEWEST_JUDGED = 469

const both = (number: number): readonly [number, number] => [number, number]

/** x64, arm64. */
export const SYSCALLS = {
  ioctl: [16, 29],
  socket: [41, 198],
  socketpair: [53, 199],
  clone: [56, 220],
  ptrace: [101, 117],
  syslog: [103, 116],
  mknod: [133, null],
  uselib: [134, null],
  personality: [135, 92],
  sysfs: [139, null],
  vhangup: [153, 58],
  modify_ldt: [154, null],
  pivot_root: [155, 41],
  _sysctl: [156, null],
  adjtimex: [159, 171],
  chroot: [161, 51],
  acct: [163, 89],
  settimeofday: [164, 170],
  mount: [165, 40],
  umount2: [166, 39],
  swapon: [167, 224],
  swapoff: [168, 225],
  reboot: [169, 142],
  sethostname: [170, 161],
  setdomainname: [171, 162],
  iopl: [172, null],
  ioperm: [173, null],
  create_module: [174, null],
  init_module: [175, 105],
  delete_module: [176, 106],
  get_kernel_syms: [177, null],
  query_module: [178, null],
  quotactl: [179, 60],
  nfsservctl: [180, 42],
  lookup_dcookie: [212, 18],
  clock_settime: [227, 112],
  kexec_load: [246, 104],
  add_key: [248, 217],
  request_key: [249, 218],
  keyctl: [250, 219],
  mknodat: [259, 33],
  unshare: [272, 97],
  perf_event_open: [298, 241],
  name_to_handle_at: [303, 264],
  open_by_handle_at: [304, 265],
  clock_adjtime: [305, 266],
  setns: [308, 268],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  kcmp: [312, 272],
  finit_module: [313, 273],
  kexec_file_load: [320, 294],
  bpf: [321, 280],
  userfaultfd: [323, 282],
  io_uring_setup: both(425),
  io_uring_enter: both(426),
  io_uring_register: both(427),
  open_tree: both(428),
  move_mount: both(429),
  fsopen: both(430),
  fsconfig: both(431),
  fsmount: both(432),
  fspick: both(433),
  clone3: both(435),
  pidfd_getfd: both(438),
  mount_setattr: both(442),
  quotactl_fd: both(443),
  open_tree_attr: both(467),
} as const satisfies Readonly<Record<string, readonly [number, number | null]>>
export type Syscall = keyof typeof SYSCALLS

/** Null where the architecture has no such call. */
export const numberOf = (call: Syscall, architecture: Architecture): number | null => SYSCALLS[call][architecture === 'x64' ? 0 : 1]

/** Null on hosts that we have no numbers for: machines there have no filter. */
export const architectureOf = (nodeName: string): Architecture | null => ARCHITECTURES.find((known) => known === nodeName) ?? null
