/** Calls that no namespace stops: they are refused by number, or not at all. */
import { after, before } from 'node:test'
import { perl, unknownNumbers } from './perl.ts'
import { asRoot, attempt, Stage } from './stage.ts'

let stage: Stage
before(async () => {
  stage = await Stage.open()
})
after(() => stage.close())
const on = (): Stage => stage

attempt(on, 'io_uring, which goes past filters and has had many holes, is not set up', {
  skip: unknownNumbers,
  hostMayRefuse: true,
  script: () => perl('my $p="\\0"x120; sys("io_uring_setup",2,$p); got("set up")'),
})
attempt(on, 'no program is loaded into the kernel', {
  skip: asRoot ? unknownNumbers : 'only root could do it outside',
  hostMayRefuse: true,
  // BPF_MAP_CREATE of an array
  script: () => perl('my $a=pack("L4",2,4,8,1).("\\0"x112); sys("bpf",0,$a,128); got("a map was made")'),
})
attempt(on, 'no key of the session that the Hub was started in is read or added', {
  skip: unknownNumbers,
  hostMayRefuse: true,
  // KEY_SPEC_SESSION_KEYRING is inherited: what lies in it (Kerberos, encrypted homes) could be used.
  script: () => perl('sys("keyctl",0,-3,1); got("the session keyring is there")'),
})
attempt(on, 'no key is made in the kernel', {
  skip: unknownNumbers,
  hostMayRefuse: true,
  script: () => perl('my ($t,$d,$v)=("user\\0","escape\\0","x"); sys("add_key",$t,$d,$v,1,-2); got("made")'),
})
attempt(on, 'faults of memory are not handled by the machine, which would stop the kernel in the middle', {
  skip: unknownNumbers,
  hostMayRefuse: true,
  // UFFD_USER_MODE_ONLY
  script: () => perl('sys("userfaultfd",1); got("opened")'),
})
attempt(on, 'the processors’ counters of the whole host are not read', {
  skip: asRoot ? unknownNumbers : 'only root could do it outside',
  hostMayRefuse: true,
  // PERF_TYPE_SOFTWARE, cpu clock, any process on processor 0
  script: () => perl('my $a=pack("LLQ",1,128,0).("\\0"x112); sys("perf_event_open",$a,-1,0,-1,0); got("opened")'),
})
attempt(on, 'the processors’ counters are not read at all', {
  skip: unknownNumbers,
  hostMayRefuse: true,
  // The same for the caller alone, in user mode (exclude_kernel, exclude_hv).
  script: () => perl('my $a=pack("LLQQQQQ",1,128,0,0,0,0,0x60).("\\0"x72); sys("perf_event_open",$a,0,-1,-1,0); got("opened")'),
})
attempt(on, 'the host beneath a virtual machine is not asked for by its socket family', {
  hostMayRefuse: true,
  // AF_VSOCK belongs to no network namespace.
  script: () => perl('socket(S,40,SOCK_STREAM,0)||lost("socket"); got("a socket")'),
})
attempt(on, 'the kernel’s ciphers are not asked for', {
  hostMayRefuse: true,
  // AF_ALG
  script: () => perl('socket(S,38,SOCK_SEQPACKET,0)||lost("socket"); got("a socket")'),
})
