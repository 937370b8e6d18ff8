/** Attempts on the kernel: mounts, namespaces, devices, its settings and switches. Outside, each is made in a mount namespace that ends with it. */
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { perl, unknownNumbers } from './perl.ts'
import { asRoot, attempt, Stage } from './stage.ts'

const rootOnly = asRoot ? false : 'only root could do it outside'
/** Where somebody may mount without touching the host. */
const APART = asRoot ? ['unshare', '-m', '--propagation', 'private'] : ['unshare', '-U', '-r', '-m']
/** An id that belongs to nobody on usual hosts. */
const NOBODY = ['setpriv', '--reuid', '61234', '--regid', '61234', '--clear-groups', '--']

let stage: Stage
let tools = ''

before(async () => {
  stage = await Stage.open()
  if (!asRoot) return
  // A program that gives its caller root, where everybody outside and every machine can run it.
  tools = await mkdtemp('/tmp/avesc-suid-')
  const agents = join(stage.ground.dataDir, 'agents')
  await mkdir(agents, { recursive: true })
  for (const folder of [tools, agents]) await copyFile('/bin/grep', join(folder, 'root-grep'))
  await stage.onHost(`chmod 755 ${tools}; chmod 4755 ${tools}/root-grep ${agents}/root-grep`)
})
after(async () => {
  await stage.close()
  if (tools !== '') await rm(tools, { recursive: true })
})
const on = (): Stage => stage

attempt(on, 'nothing is mounted from inside a machine', { through: APART, script: () => 'mkdir -p ./m && mount -t tmpfs none ./m || exit 1; umount ./m' })
attempt(on, 'no folder is bound to another place', { through: APART, script: () => 'mkdir -p ./m ./n && mount --bind ./n ./m || exit 1; umount ./m' })
attempt(on, 'the programs are not made writable', {
  through: APART,
  outside: () => 'mkdir -p ./m ./n && mount --bind ./n ./m && mount -o remount,bind,ro ./m && mount -o remount,bind,rw ./m || exit 1; umount ./m',
  script: () => 'mount -o remount,bind,rw /usr || mount -o remount,rw / || mount -o remount,rw /proc || exit 1',
})
attempt(on, 'what covers the kernel’s files is not taken away', {
  through: APART,
  outside: () => 'mkdir -p ./m && mount -t tmpfs none ./m && umount -l ./m || exit 1',
  script: () => 'umount -l /proc/kallsyms || umount -l /run/autovibe || umount -l /usr || umount -l /machine || exit 1',
})
attempt(on, 'the root folder is not changed for another', {
  through: APART,
  script: () => 'mkdir -p ./r/old && mount --bind ./r ./r && pivot_root ./r ./r/old || exit 1; exit 0',
})
attempt(on, 'the root folder is not left by chroot', {
  skip: rootOnly,
  script: () => perl('mkdir("r"); chroot("r")||lost("chroot"); chdir("..") for 1..9; got("left")'),
})
attempt(on, 'mounts are not made by the newer calls either', {
  through: APART,
  skip: unknownNumbers,
  script: () => perl('my ($t,$r)=("tmpfs\\0","/\\0"); my $f=syscall($N{fsopen},$t,0); got("fsopen") if $f>=0; sys("open_tree",-100,$r,1); got("open_tree")'),
})
attempt(on, 'no user namespace is made', { script: () => 'unshare -U true || exit 1' })
attempt(on, 'no user namespace is made by clone3', {
  skip: unknownNumbers,
  // struct clone_args: flags (CLONE_NEWUSER), five words, exit signal … the child ends at once.
  script: () => perl('my $a=pack("Q8",0x10000000,0,0,0,17,0,0,0); my $r=sys("clone3",$a,64); if($r==0){ exit 0 } waitpid($r,0); got("made")'),
})
for (const [what, flag] of [
  ['mount', '-m'],
  ['network', '-n'],
  ['process', '-p'],
  ['host name', '-u'],
] as const) {
  attempt(on, `no ${what} namespace is made`, { through: asRoot ? [] : ['unshare', '-U', '-r'], script: () => `unshare ${flag} -f true || exit 1` })
}
attempt(on, 'a program that belongs to root and says so does not make root', {
  skip: rootOnly,
  through: NOBODY,
  outside: () => `${tools}/root-grep -E '^CapEff:.*[1-9a-f]' /proc/self/status || exit 1`,
  script: () => `/opt/autovibe/agents/root-grep -E '^CapEff:.*[1-9a-f]' /proc/self/status || exit 1`,
})
attempt(on, 'no device node of a disk is made', { skip: rootOnly, hostMayRefuse: true, script: () => 'mknod ./disk b 8 0 || exit 1; rm ./disk' })
attempt(on, 'no device node of the memory is made', { skip: rootOnly, hostMayRefuse: true, script: () => 'mknod ./mem c 1 1 || exit 1; rm ./mem' })
for (const setting of ['core_pattern', 'modprobe', 'sysrq', 'hostname', 'randomize_va_space']) {
  attempt(on, `the kernel’s ${setting} is not set`, {
    skip: rootOnly,
    hostMayRefuse: true,
    // Opened for appending and not written to: enough to prove that it could be.
    script: () => `(: >>/proc/sys/kernel/${setting}) || exit 1`,
  })
}
attempt(on, 'the kernel’s panic button is not pressed', { skip: rootOnly, hostMayRefuse: true, script: () => '(: >>/proc/sysrq-trigger) || exit 1' })
attempt(on, 'the kernel’s objects in /sys are not there', { script: () => 'ls /sys/kernel || exit 1' })
attempt(on, 'control groups are not mounted', {
  through: asRoot ? ['unshare', '-m', '-C'] : ['unshare', '-U', '-r', '-m', '-C'],
  hostMayRefuse: true,
  script: () => 'mkdir -p ./c && mount -t cgroup2 none ./c || exit 1',
})
attempt(on, 'the host’s name is not changed', {
  through: asRoot ? ['unshare', '-u'] : ['unshare', '-U', '-r', '-u'],
  script: () => 'hostname elsewhere || exit 1',
})
attempt(on, 'the kernel’s log is not read', {
  skip: rootOnly || unknownNumbers,
  hostMayRefuse: true,
  // SYSLOG_ACTION_READ_ALL
  script: () => perl('my $b="\\0"x64; sys("syslog",3,$b,64); got("read")'),
})
attempt(on, 'the marks of an overlay are not forged', {
  skip: rootOnly || unknownNumbers,
  script: () => perl('mkdir("o"); my ($p,$n,$v)=("o\\0","trusted.overlay.opaque\\0","y"); sys("setxattr",$p,$n,$v,1,0); got("set")'),
  hostMayRefuse: true,
})
attempt(on, 'no file is made that the Hub could not remove', {
  skip: rootOnly,
  hostMayRefuse: true,
  script: () => ': >./i; chattr +i ./i || exit 1; chattr -i ./i',
})
attempt(on, 'nothing is typed into a terminal of the host', {
  // TIOCSTI on the controlling terminal, as a program that is started from a shell without a session of its own could do it.
  through: ['script', '-qefc'],
  hostMayRefuse: true,
  script: () => perl('open(T,"+<","/dev/tty")||lost("no terminal"); my $c="x"; ioctl(T,0x5412,$c)||lost("ioctl"); got("typed")'),
})
