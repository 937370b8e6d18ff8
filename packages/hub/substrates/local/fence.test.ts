import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { AutovibeError, type MachineId } from '@autovibe/contract'
import { systemRuntime } from '../../runtime.ts'
import { ConformanceDoor } from '../conformance-door.ts'
import type { LocalSubstrate } from './local-substrate.ts'
import { listProcesses } from './processes.ts'
import { ERRNO, rulesFor, type Surroundings } from './seccomp/rules.ts'
import { architectureOf, numberOf, type Syscall } from './seccomp/syscalls.ts'
import { TestGround, type Tiers } from './test-ground.ts'

const signal = new AbortController().signal
const GONE_WITHIN_MS = 10_000
const architecture = architectureOf(process.arch)
const nr = (call: Syscall): number => numberOf(call, architecture ?? 'x64') ?? assert.fail(call)

/** Makes each call (its number and three arguments, parted by commas) and prints the error. */
const CALL = `perl -e 'for (@ARGV) { my ($n, @a) = map { 0 + $_ } split /,/; $! = 0; syscall($n, @a); print 0 + $!, "\\n" }'`
const call = (...parts: number[]): string => [...parts, 0, 0, 0].slice(0, 4).join(',')

for (const [what, surroundings, tiers] of [
  ['a machine in a sandbox', 'namespaced', {}],
  ['a machine behind Landlock', 'shared', { isolation: 'I1', copy: 'C1' }],
] as const satisfies (readonly [string, Surroundings, Tiers])[]) {
  describe(`fence of ${what}`, () => {
    let ground: TestGround
    let door: ConformanceDoor
    let substrate: LocalSubstrate
    let machineId: MachineId
    let missing: string | false = false

    before(async () => {
      ground = await TestGround.make(tiers)
      door = new ConformanceDoor()
      try {
        substrate = await ground.open(door)
      } catch (error) {
        if (!(error instanceof AutovibeError) || error.code !== 'substrate.unavailable') throw error
        missing = error.message
        return
      }
      const { tier, summary } = substrate.capabilities()
      if ((surroundings === 'namespaced') !== ['I3', 'I2'].includes(tier.isolation) || /WITHOUT seccomp/.test(summary)) missing = `this host offers: ${summary}`
      machineId = await newMachine()
    })
    after(async () => {
      if (machineId !== undefined) for (const one of await substrate.list(signal)) await substrate.destroy(one.machineId, signal)
      await door.closeAll()
      await ground.dispose()
    })
    const newMachine = async (): Promise<MachineId> => {
      const id = systemRuntime.newId('machine')
      await substrate.create({ machineId: id, name: 'fence', from: null, token: 'token' }, signal)
      await substrate.start(id, signal)
      return id
    }
    const say = async (script: string): Promise<string> => (await door.run(machineId, script)).output.toString().trim()
    const fenced = (name: string, body: () => Promise<void>) => test(name, async (t) => (missing === false ? body() : t.skip(missing)))

    fenced('refuses the system calls of the table, each as it says', async () => {
      const refused = rulesFor(surroundings).flatMap(({ calls, when, refusal }) =>
        when === undefined ? calls.filter((name) => numberOf(name, architecture ?? 'x64') !== null).map((name) => [name, ERRNO[refusal]] as const) : [],
      )
      const said = (await say(`${CALL} ${refused.map(([name]) => call(nr(name))).join(' ')}`)).split('\n')
      assert.deepEqual(
        refused.map(([name], index) => [name, Number(said[index])]),
        refused.map(([name, errno]) => [name, errno]),
      )
    })

    fenced('refuses by arguments: namespaces, odd sockets, personalities, terminals, devices and calls that nobody knows yet', async () => {
      const IP = surroundings === 'namespaced' ? 0 : 1
      const cases: readonly (readonly [string, string, number])[] = [
        ['unshare(CLONE_NEWUSER)', call(nr('unshare'), 0x10000000), 1],
        ['clone(CLONE_NEWUSER)', call(nr('clone'), 0x10000011), 1],
        ['READ_IMPLIES_EXEC', call(nr('personality'), 0x400000), 1],
        ['the present personality', call(nr('personality'), 0xffffffff), 0],
        ['TIOCSTI', call(nr('ioctl'), 0, 0x5412), 1],
        ['TIOCSTI with a high bit', call(nr('ioctl'), 0, 0x100005412), 1],
        ['a unix socket', call(nr('socket'), 1, 1), 0],
        ['TCP', call(nr('socket'), 2, 1), IP],
        ['UDP over IPv6', call(nr('socket'), 10, 2), IP],
        ['the list of addresses', call(nr('socket'), 16, 3, 0), 0],
        ['netfilter', call(nr('socket'), 16, 3, 12), 1],
        ['packets', call(nr('socket'), 17, 3), 1],
        ['the kernel’s cryptography', call(nr('socket'), 38, 5), 1],
        ['the hypervisor', call(nr('socket'), 40, 1), 1],
        ['call 600', call(600), 38],
      ]
      const said = (await say(`${CALL} ${cases.map(([, words]) => words).join(' ')}`)).split('\n')
      assert.deepEqual(
        cases.map(([name], index) => [name, Number(said[index])]),
        cases.map(([name, , errno]) => [name, errno]),
      )
      // Outside, the same calls get through to the kernel.
      const outside = spawnSync('sh', ['-c', `${CALL} ${call(nr('personality'), 0x400000)} ${call(nr('ioctl'), 0, 0x5412)} ${call(nr('io_uring_setup'))}`], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      assert.doesNotMatch(outside.stdout.split('\n').slice(0, 2).join('\n'), /^(1|38)$/m)
    })

    fenced('ends programs of another architecture, whose calls have other numbers', async () => {
      if (architecture !== 'x64') return
      // SIGSYS is 31.
      assert.match(await say(`perl -e 'syscall(0x40000000 + 39)'; echo $?`), /^159$/m)
      const program = join(ground.dataDir, 'old')
      await writeFile(program, exit7For386(), { mode: 0o755 })
      if (spawnSync(program).status !== 7) return
      const bytes = exit7For386().toString('base64')
      assert.match(await say(`cd project; echo ${bytes} | base64 -d >old; chmod 755 old; ./old; echo $?`), /^159$/m)
    })

    fenced('leaves what programs need: git, npm, threads, Python and a compiler', async () => {
      const steps: readonly (readonly [string, string])[] = [
        ['git', 'git init -q . && echo x >f && git add f && git -c user.name=n -c user.email=e@e commit -qm m && git log --oneline | grep -c m'],
        ['node', `node -e 'new (require("node:worker_threads").Worker)("process.exitCode = 0", { eval: true }).on("exit", () => console.log(1))'`],
        ['npm', `echo '{"name":"x","scripts":{"test":"node -e 0"}}' >package.json; npm test >/dev/null && echo 1`],
        [
          'python3',
          `python3 -c 'import subprocess, tempfile, threading; t = threading.Thread(target=lambda: print(1)); t.start(); t.join(); subprocess.run(["true"], check=True); tempfile.TemporaryFile()'`,
        ],
        [
          'make',
          `printf 'm: m.c\\n\\tcc -pthread -o m m.c\\n' >Makefile; echo 'int main(){return 0;}' >m.c; if command -v cc >/dev/null; then make -s m && ./m; fi && echo 1`,
        ],
      ]
      for (const [tool, script] of steps)
        assert.equal(await say(`cd project; if command -v ${tool} >/dev/null; then ${script}; else echo 1; fi 2>&1`), '1', tool)
    })

    if (surroundings !== 'shared') return

    fenced('opens nothing of the host but programs, and nothing of other machines', async () => {
      const secret = join(ground.dataDir, 'secret')
      await writeFile(secret, 'of the host')
      const other = await newMachine()
      const own = ground.layout.machines
      const places = [secret, join(own, other, 'socket/token'), join(own, other, 'machine.json'), `/proc/${process.pid}/environ`, `/proc/${process.pid}/maps`]
      for (const place of places) assert.ok(readFileSync(place).length > 0, `${place} can be read outside`)
      const more = ['/etc/shadow', '/dev/mem', '/dev/tty', '/dev/pts/0', `/proc/${process.pid}/mem`, `/proc/${process.pid}/root/etc/shadow`]
      assert.equal(await say(`for p in ${[...places, ...more].join(' ')}; do (cat "$p" | head -c 1 | grep -q . && echo "$p") 2>/dev/null; done`), '')
      const folders = [
        ground.dataDir,
        own,
        join(own, other),
        ground.layout.layers,
        '/',
        '/root',
        '/home',
        '/tmp',
        '/etc',
        '/var',
        '/dev',
        `/proc/${process.pid}/cwd/`,
      ]
      assert.equal(await say(`for p in ${folders.join(' ')}; do ls "$p" >/dev/null 2>&1 && echo "$p"; done`), '')
      const written = ['/tmp/fenced', '/dev/shm/fenced', '/usr/fenced', '/etc/fenced', join(ground.dataDir, 'fenced'), secret, '/proc/sys/kernel/core_pattern']
      assert.equal(await say(`for p in ${written.join(' ')}; do (: >>"$p") 2>/dev/null && echo "$p"; done`), '')
      assert.equal(
        await say(`for p in ${secret} /usr/bin/env; do for c in rm "ln -t project" "mv -t project"; do $c "$p" 2>/dev/null && echo "$c $p"; done; done`),
        '',
      )
      assert.equal(
        await say('for p in project home "$TMPDIR"; do (: >"$p/probe") || echo "$p"; done; [ "$(dirname "$(mktemp)")" = "$TMPDIR" ] || echo mktemp'),
        '',
      )
      await substrate.destroy(other, signal)
    })

    fenced('has no capabilities, and neither signals nor abstract sockets reach outside', async () => {
      assert.deepEqual(
        await say('grep -E "^(CapPrm|CapEff|NoNewPrivs|Seccomp):" /proc/self/status | tr -d "\\t " | grep -v "0000000000000000$"'),
        'NoNewPrivs:1\nSeccomp:2',
      )
      if (/signals/.test(substrate.capabilities().summary)) return
      assert.match(await say(`kill -0 ${process.pid} 2>&1; kill -0 $$ && echo own`), /not permitted\n*own$/i)
      const name = `autovibe-fence-${process.pid}`
      const server = createServer((socket) => socket.destroy()).listen(`\0${name}`)
      await once(server, 'listening')
      const connect = `perl -MSocket -e 'socket(my $s, AF_UNIX, SOCK_STREAM, 0); print connect($s, pack("S a*", AF_UNIX, "\\0$ARGV[0]")) ? "in" : "out: $!"' ${name}`
      assert.equal(spawnSync('sh', ['-c', connect], { encoding: 'utf8' }).stdout, 'in')
      assert.match(await say(connect), /^out: .*not permitted/)
      server.close()
    })

    fenced('has nothing left of it when its agent ends, not even what left its parents', async () => {
      const stray = `7${process.pid}.25`
      const strays = (): number => listProcesses().filter(({ pid }) => commandOf(pid) === `sleep\0${stray}\0`).length
      const machine = await newMachine()
      const started = await door.run(
        machine,
        `(setsid sh -c 'sleep ${stray} & exit' >/dev/null 2>&1 &); env -i setsid sleep ${stray} >/dev/null 2>&1 & until [ $(grep -lzx '[7]${stray.slice(1)}' /proc/[0-9]*/cmdline 2>/dev/null | wc -l) -ge 2 ]; do :; done; echo $PPID`,
      )
      assert.ok(strays() >= 2)
      // The agent is the parent of each script, and its number is that of the host.
      process.kill(Number(started.output.toString().trim()), 'SIGKILL')
      await until(async () => (await substrate.list(signal)).find((one) => one.machineId === machine)?.power === 'stopped', 'the machine ends')
      await until(() => Promise.resolve(strays() === 0), 'the strays end')
      await substrate.destroy(machine, signal)
    })
  })
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
  } catch {
    return ''
  }
}

async function until(holds: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + GONE_WITHIN_MS
  for (; !(await holds()); await delay(5)) assert.ok(performance.now() < deadline, `${what} in time`)
}

/** The smallest program for a 386: one header, one segment, and exit(7) by the old gate. */
function exit7For386(): Buffer {
  const base = 0x8048000
  const code = Buffer.from([0xb8, 1, 0, 0, 0, 0xbb, 7, 0, 0, 0, 0xcd, 0x80])
  const head = Buffer.alloc(84)
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]).copy(head)
  for (const [offset, value] of [
    [16, 2],
    [18, 3],
    [40, 52],
    [42, 32],
    [44, 1],
  ] as const)
    head.writeUInt16LE(value, offset)
  const size = head.length + code.length
  for (const [offset, value] of [
    [20, 1],
    [24, base + 84],
    [28, 52],
    [52, 1],
    [60, base],
    [64, base],
    [68, size],
    [72, size],
    [76, 5],
    [80, 0x1000],
  ] as const)
    head.writeUInt32LE(value, offset)
  return Buffer.concat([head, code])
}
