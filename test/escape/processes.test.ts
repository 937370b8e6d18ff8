/** Attempts on processes: to see, signal, trace, rob or join what does not belong to the machine. */
import { type ChildProcess, spawn } from 'node:child_process'
import { after, before } from 'node:test'
import { supervisorPid } from './host-view.ts'
import { perl, unknownNumbers } from './perl.ts'
import { asRoot, attempt, Stage } from './stage.ts'

const rootOnly = asRoot ? false : 'only root may join a namespace of the host'

let stage: Stage
let victim: ChildProcess
let otherPid = 0

before(async () => {
  stage = await Stage.open()
  // A process of the Hub's user with the secret in its environment and memory, and the file with it open.
  victim = spawn('sh', ['-c', 'exec 7<secret; exec sleep 600'], { env: { PATH: process.env['PATH'], KEY: stage.secret }, stdio: 'ignore', cwd: stage.outside })
  if (stage.weak === false) otherPid = await supervisorPid(stage, await stage.machine('other'))
})
after(async () => {
  victim.kill('SIGKILL')
  await stage.close()
})
const on = (): Stage => stage
const pid = (): number => victim.pid ?? 0

attempt(on, 'a process of the host is not seen in /proc', { script: () => `grep -s . /proc/${pid()}/stat || exit 1` })
attempt(on, 'the environment of a process of the host is not read', { script: () => `grep -sa KEY=secret- /proc/${pid()}/environ || exit 1` })
attempt(on, 'no environment that is seen holds a key of the host', {
  script: () => 'grep -sal "KEY=secret-[0-9a-f]" /proc/[0-9]*/environ | grep . || exit 1',
})
attempt(on, 'the memory of a process of the host is not read', {
  script: () => perl(`open(F,"<","/proc/${pid()}/mem")||lost("open"); got("opened")`),
})
attempt(on, 'the memory of a process of the host is not read by process_vm_readv', {
  skip: unknownNumbers,
  script: () =>
    perl(`my $at=0; if(open(M,"</proc/${pid()}/maps")){ my $l=<M>; ($at)=$l=~/^(\\w+)/; $at=hex($at) }
      my $b="\\0"x16; my $local=pack("PQ",$b,16); my $remote=pack("QQ",$at,16); sys("process_vm_readv",${pid()},$local,1,$remote,1,0); got("read")`),
})
attempt(on, 'a process of the host is not traced', {
  skip: unknownNumbers,
  // PTRACE_SEIZE stops nothing, and ends with the tracer.
  script: () => perl(`sys("ptrace",0x4206,${pid()},0,0); got("traced")`),
})
attempt(on, 'a process of the host is not signalled', { script: () => `kill -CONT ${pid()} || exit 1` })
attempt(on, 'a process of the host is not signalled through a pidfd', {
  skip: unknownNumbers,
  script: () => perl(`my $f=sys("pidfd_open",${pid()},0); sys("pidfd_send_signal",$f,18,0,0); got("signalled")`),
})
attempt(on, 'an open file of a process of the host is not taken through a pidfd', {
  skip: unknownNumbers,
  script: () => perl(`my $f=sys("pidfd_open",${pid()},0); my $g=sys("pidfd_getfd",$f,7,0); open(F,"<&=$g"); got(<F>)`),
})
attempt(on, 'an open file of a process of the host is not opened in /proc', { script: () => `cat /proc/${pid()}/fd/7 || exit 1` })
attempt(on, 'the working folder of a process of the host is not entered', { script: () => `cat /proc/${pid()}/cwd/secret || exit 1` })
attempt(on, 'a process of the host is not slowed down', { script: () => `renice -n 19 -p ${pid()} >/dev/null || exit 1` })
attempt(on, 'the namespaces of a process of the host are not joined', {
  skip: rootOnly,
  script: () => `nsenter -t ${pid()} -m -n -- true || exit 1`,
})
attempt(on, 'the namespaces of a process of the host are not joined by setns and a pidfd', {
  skip: rootOnly || unknownNumbers,
  // CLONE_NEWNS
  script: () => perl(`my $f=sys("pidfd_open",${pid()},0); sys("setns",$f,0x20000); got("joined")`),
})
attempt(on, 'the namespace of the machine’s own first process gives nothing more', {
  outside: () => 'unshare -U -r -m true || exit 1',
  script: () => 'nsenter -t 1 -U -m --preserve-credentials -- true || nsenter -t 1 -m -- true || exit 1',
})
attempt(on, 'the supervisor of another machine is not seen, signalled or traced', {
  script: () => `kill -0 ${otherPid} || cat /proc/${otherPid}/cmdline || exit 1`,
})
attempt(on, 'a machine does not exempt itself from being killed when memory runs out', {
  script: () => '(echo -1000 >/proc/self/oom_score_adj) || exit 1',
  outside: () => 'unshare -U -r sh -c "echo 0 >/proc/self/oom_score_adj" || exit 1',
})
attempt(on, 'real time, which would starve the host, is not had', {
  skip: asRoot ? false : 'only root has it outside',
  script: () => 'chrt -f 50 true || exit 1',
})
