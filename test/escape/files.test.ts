/** Attempts on the host's files: the Hub's keys, other machines, homes, sockets, disks. Most paths simply are not there inside; these tests say that they stay away. */
import assert from 'node:assert/strict'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { fileURLToPath } from 'node:url'
import { readMachine } from '../../packages/hub/substrates/local/documents.ts'
import { layerTree, machinePaths } from '../../packages/hub/substrates/local/layout.ts'
import { perl, unknownNumbers } from './perl.ts'
import { asRoot, attempt, Stage } from './stage.ts'

const rootOnly = asRoot ? false : 'only root could do it outside'
const CHECKOUT = fileURLToPath(new URL('../../', import.meta.url))

/** A file handle as open_by_handle_at(2) takes it, in hexadecimal: its length, its type, 128 bytes at most. */
const TAKE_HANDLE = 'my ($p,$h,$m)=("PATH\\0",pack("Lix128",128,0),pack("i",0)); sys("name_to_handle_at",-100,$p,$h,$m,0); got(unpack("H*",$h))'

let stage: Stage
let daemon: Server
let otherTree = ''
let handle = ''

before(async () => {
  stage = await Stage.open()
  const { dataDir } = stage.ground
  for (const name of ['api-key', 'master-key']) await writeFile(join(dataDir, name), stage.secret, { mode: 0o600 })
  await mkdir(join(stage.outside, 'home/.ssh'), { recursive: true })
  await writeFile(join(stage.outside, 'home/.ssh/id_ed25519'), stage.secret, { mode: 0o600 })
  // As a container engine's socket: whoever reaches it is answered.
  daemon = createServer((socket) => socket.on('error', () => undefined).end(stage.secret)).listen(join(stage.outside, 'docker.sock'))
  await writeFile(`/dev/shm/${stage.secret}`, stage.secret, { mode: 0o600 })
  if (asRoot && unknownNumbers === false) handle = (await stage.onHost(perl(TAKE_HANDLE.replace('PATH', join(stage.outside, 'secret'))))).said
  if (stage.weak !== false) return
  const other = await stage.machine('other')
  assert.equal((await stage.inside(`echo ${stage.secret} >project/file`, 'other')).code, 0)
  const document = await readMachine(stage.ground.layout, other)
  otherTree = layerTree(stage.ground.layout, document?.upper ?? '')
})
after(async () => {
  daemon.close()
  await rm(`/dev/shm/${stage.secret}`)
  await stage.close()
})
const on = (): Stage => stage
const reads = (path: string): string => `cat '${path}' || exit 1`
const connects = (path: string): string =>
  perl(`socket(S,PF_UNIX,SOCK_STREAM,0)||lost("socket"); connect(S,sockaddr_un("${path}"))||lost("connect"); got("connected")`)

attempt(on, 'the Hub’s API key is not read', { script: ({ ground }) => reads(join(ground.dataDir, 'api-key')) })
attempt(on, 'the Hub’s master key is not read', { script: ({ ground }) => reads(join(ground.dataDir, 'master-key')) })
attempt(on, 'the Hub’s keys are not reached through the root of another process', {
  script: ({ ground }) => `for p in /proc/[0-9]*; do cat $p/root${ground.dataDir}/api-key 2>/dev/null && exit 0; done; exit 1`,
})
attempt(on, 'a link in the tree does not lead to the Hub’s keys', {
  script: ({ ground }) => `ln -sfn '${ground.dataDir}/api-key' ./link || exit 2; cat ./link; code=$?; rm ./link; exit $code`,
})
attempt(on, 'a hard link to a file of the host is not made', {
  script: ({ outside }) => `rm -f ./hard; ln '${outside}/secret' ./hard || exit 1; rm ./hard`,
})
attempt(on, 'a file of the host is not read by its handle (as “shocker” did)', {
  skip: rootOnly || unknownNumbers,
  // Inside, /usr lies on the same disk; the handle itself is no secret.
  script: () =>
    perl(`my $h=pack("H*","${handle}"); for my $at ("/usr",".") { opendir(D,$at)||next; my $f=syscall($N{open_by_handle_at},fileno(D),$h,0);
      if($f>=0){ open(F,"<&=$f"); got(<F>) } } lost("open_by_handle_at")`),
})
attempt(on, 'the tree of another machine is not read', { script: () => reads(join(otherTree, 'project/file')) })
attempt(on, 'the trees of other machines are not listed', { script: ({ ground }) => `ls '${ground.layout.layers}' || exit 1` })
attempt(on, 'the token of another machine is not read', {
  script: (on) => reads(machinePaths(on.ground.layout, on.id('other')).token),
})
attempt(on, 'the socket of another machine is not reached', {
  script: (on) => connects(machinePaths(on.ground.layout, on.id('other')).socket),
})
attempt(on, 'the log and the arguments of another machine are not read', {
  script: (on) => `cat '${machinePaths(on.ground.layout, on.id('other')).arguments}' || exit 1`,
})
attempt(on, 'a socket like that of a container engine is not reached', { script: ({ outside }) => connects(join(outside, 'docker.sock')) })
attempt(on, 'the keys in a home of the host are not read', { script: ({ outside }) => reads(join(outside, 'home/.ssh/id_ed25519')) })
attempt(on, 'the homes of the host are not listed', { script: () => 'ls -A /home /root || exit 1', skip: rootOnly })
attempt(on, '/etc/shadow is not read', { script: () => 'head -c 1 /etc/shadow >/dev/null || exit 1', skip: rootOnly })
attempt(on, 'private keys below /etc/ssl are not listed', { script: () => 'ls /etc/ssl/private || exit 1', skip: rootOnly })
attempt(on, 'a disk of the host is not read as a device', {
  script: () => 'for d in $(awk "NR>2{print \\"/dev/\\"\\$4}" /proc/partitions); do head -c 512 $d >/dev/null && exit 0; done; exit 1',
  skip: rootOnly,
  hostMayRefuse: true,
})
attempt(on, 'the agent’s code, which all machines run, is not changed', {
  outside: () => `: >>'${CHECKOUT}packages/agent/main.ts' || exit 1`,
  script: () => '(: >>/opt/autovibe/packages/agent/main.ts) || exit 1',
  skip: rootOnly,
})
attempt(on, 'the root folder that machines share is not changed', {
  outside: ({ ground }) => `for f in '${ground.layout.roots}'/*/etc/hosts; do : >>$f || exit 1; done`,
  script: () => '(: >>/etc/hosts) || exit 1',
})
attempt(on, 'the machine’s own token and socket are not replaced', {
  outside: (on) => `: >'${machinePaths(on.ground.layout, on.id()).socketDir}/more' || exit 1`,
  script: () => '(: >/run/autovibe/more) || mv /run/autovibe/token /run/autovibe/other || exit 1',
})
attempt(on, 'memory that processes of the host share by name is not seen', { script: ({ secret }) => reads(`/dev/shm/${secret}`) })
