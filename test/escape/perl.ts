/** Attempts that need a system call by its number: perl belongs to every Debian and lies below /usr, which machines see. */

/** Numbers by architecture, as <asm/unistd.h> has them; those from 424 on are the same everywhere. */
const NUMBERS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  x64: {
    ...{ ptrace: 101, syslog: 103, pivot_root: 155, prctl: 157, mount: 165, unshare: 272, add_key: 248, keyctl: 250, perf_event_open: 298 },
    ...{ name_to_handle_at: 303, open_by_handle_at: 304, setns: 308, process_vm_readv: 310, bpf: 321, userfaultfd: 323, renameat2: 316, setxattr: 188 },
  },
  arm64: {
    ...{ ptrace: 117, syslog: 116, pivot_root: 41, prctl: 167, mount: 40, unshare: 97, add_key: 217, keyctl: 219, perf_event_open: 241 },
    ...{ name_to_handle_at: 264, open_by_handle_at: 265, setns: 268, process_vm_readv: 270, bpf: 280, userfaultfd: 282, renameat2: 276, setxattr: 5 },
  },
}
const EVERYWHERE = { pidfd_send_signal: 424, io_uring_setup: 425, open_tree: 428, fsopen: 430, pidfd_open: 434, clone3: 435, pidfd_getfd: 438 }

/** Why no attempt by number can be made; false where the numbers are known. */
export const unknownNumbers: string | false = NUMBERS[process.arch] === undefined ? `the numbers of system calls on ${process.arch} are not known here` : false

/**
 * A shell command that runs this perl program. In it `sys(name, ...)` makes a system call and ends the attempt as refused when it fails; `got(words)` ends it as
 * succeeded, `lost(words)` as refused. Texts that are handed to the kernel stand in variables: perl refuses to lend out constants.
 */
export function perl(program: string): string {
  const numbers = Object.entries({ ...EVERYWHERE, ...NUMBERS[process.arch] }).map(([name, number]) => `${name}=>${number}`)
  const prelude = `use Socket; my %N=(${numbers.join(',')});
sub got { print "@_\\n"; exit 0 } sub lost { print "@_: $!\\n"; exit 1 }
sub sys { my $n=shift; my $r=syscall($N{$n},@_); lost($n) if $r==-1; $r }`
  return `perl -e '${`${prelude}\n${program}`.replaceAll("'", `'\\''`)}'`
}
