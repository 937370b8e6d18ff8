import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { MachineId } from '@autovibe/contract'
import { systemRuntime } from '../../runtime.ts'
import { ConformanceDoor } from '../conformance-door.ts'
import { readMachine } from './documents.ts'
import type { LocalSubstrate } from './local-substrate.ts'
import { TestGround } from './test-ground.ts'

const signal = new AbortController().signal

describe('a machine in a sandbox', () => {
  let ground: TestGround
  let door: ConformanceDoor
  let substrate: LocalSubstrate
  let machineId: MachineId
  let weak: string | false = false

  before(async () => {
    ground = await TestGround.make({})
    door = new ConformanceDoor()
    substrate = await ground.open(door)
    if (!substrate.capabilities().isolated) weak = 'this host offers no sandbox'
    machineId = systemRuntime.newId('machine')
    await substrate.create({ machineId, name: 'fence', from: null, token: 'token' }, signal)
    await substrate.start(machineId, signal)
  })
  after(async () => {
    await substrate.destroy(machineId, signal)
    await door.closeAll()
    await ground.dispose()
  })
  const say = async (script: string): Promise<string> => (await door.run(machineId, script)).output.toString().trim()

  test('sees nothing of the host but programs', async (t) => {
    if (weak !== false) return t.skip(weak)
    await writeFile(join(ground.dataDir, 'secret'), 'of the host')
    assert.equal(await say(`ls -d /home /root /work /etc/shadow /etc/ssl/private /var/run /var/lib /sys ${ground.dataDir} /proc/1/root/home 2>/dev/null`), '')
    assert.equal(await say(`grep -l '${ground.dataDir.replace('/av-', '/[a]v-')}' /proc/[0-9]*/cmdline /proc/[0-9]*/environ /proc/mounts 2>/dev/null`), '')
    assert.equal(
      await say('ls /'),
      'bin dev etc lib lib64 machine opt proc run sbin tmp usr var'
        .split(' ')
        .filter((name) => name !== '')
        .join('\n'),
    )
    assert.equal(await say('hostname; id -un; pwd'), 'fence\nagent\n/machine')
  })

  test('can write to its tree and its memory file systems only', async (t) => {
    if (weak !== false) return t.skip(weak)
    const places = [
      '/',
      '/usr',
      '/etc',
      '/opt/autovibe',
      '/opt/autovibe/packages/agent',
      '/opt/autovibe/agents',
      '/run',
      '/run/autovibe',
      '/dev',
      '/var',
      '/proc/sys/kernel/x',
    ]
    assert.equal(await say(`for p in ${places.join(' ')}; do (: >$p/probe) 2>/dev/null && echo $p; done`), '')
    assert.equal(await say('for p in /machine/project /machine/home /tmp /var/tmp /dev/shm; do (: >$p/probe) || echo $p; done'), '')
    // A file opened for appending and not written to: enough to prove that it could be.
    assert.equal(await say('for f in $(find /proc/sys -type f 2>/dev/null) /proc/sysrq-trigger; do (: >>$f) 2>/dev/null && echo $f; done'), '')
  })

  test('has no capabilities, no further namespaces and no network', async (t) => {
    if (weak !== false) return t.skip(weak)
    assert.equal(
      await say('grep -E "^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs)" /proc/self/status | tr -d "\\t " | sort -u'),
      ['CapAmb', 'CapBnd', 'CapEff', 'CapInh', 'CapPrm']
        .map((name) => `${name}:0000000000000000`)
        .concat('NoNewPrivs:1')
        .join('\n'),
    )
    assert.match(await say('unshare -U true 2>&1'), /unshare failed/)
    assert.equal(await say('tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d " "'), 'lo')
    assert.equal(await say('tail -n +2 /proc/net/route'), '')
  })

  test('cannot fill the disk with what it says', async (t) => {
    if (weak !== false) return t.skip(weak)
    await say('head -c 3000000 /dev/zero >/proc/$PPID/fd/1; echo')
    assert.ok(readFileSync(join(ground.layout.machines, machineId, 'agent.log')).length <= 256 * 1024)
  })

  test('is merged onto fewer layers when its stack has grown deep, and stays the same', async (t) => {
    if (substrate.capabilities().tier.copy !== 'C3') return t.skip('this host offers no layers')
    const taken = []
    for (let round = 0; round < 40; round++) {
      await say(
        `cd project; rm -rf old; mkdir -p old/sub; echo ${round} >old/sub/file; echo ${round} >file${round}; rm -f file$((${round} - 3)); ln -sfn file${round} newest`,
      )
      taken.push((await substrate.snapshot(machineId, systemRuntime.newId('checkpoint'), signal)).handle)
    }
    const listing = 'cd project; find . -printf "%P %y %m %s %l\\n" | grep -v "^ " | sort; cat file* old/sub/file'
    const before = await say(listing)
    await substrate.settled()
    await say('true >project/last')
    taken.push((await substrate.snapshot(machineId, systemRuntime.newId('checkpoint'), signal)).handle)
    await say('rm project/last')
    const depth = (await readMachine(ground.layout, machineId))?.layers.length ?? 0
    assert.ok(depth < 32, `the stack is ${depth} deep`)
    assert.equal(await say(listing), before)
    const found: string[] = []
    for await (const change of substrate.changes(taken[40] ?? '', taken[38] ?? '', signal))
      found.push(change.kind === 'put' ? change.entry.path : `-${change.path}`)
    assert.deepEqual(found.sort(), ['-project/file36', 'project/file39', 'project/last', 'project/newest', 'project/old/sub/file'])
    for (const handle of taken) await substrate.dropSnapshot(handle, signal)
    assert.equal(await say(listing), before)
  })
})

test('without bubblewrap machines are fenced in partly or not at all, never called isolated, and the finding says how to cure it', {
  skip: process.getuid?.() === 0 ? false : 'hiding a program from a process takes root',
}, async () => {
  const ground = await TestGround.make({})
  try {
    const program = `
      import { createLocalSubstrate } from ${JSON.stringify(fileURLToPath(new URL('create-local-substrate.ts', import.meta.url)))}
      const door = { listen: async () => undefined, close: async () => undefined }
      const substrate = await createLocalSubstrate({ ...${JSON.stringify(ground.options())}, door, logger: console })
      console.log(JSON.stringify([substrate.capabilities(), substrate.findings()]))`
    const hide = 'mount --bind /dev/null "$(command -v bwrap)" && exec "$@"'
    const ran = spawnSync('unshare', ['-m', '--propagation', 'private', 'sh', '-c', hide, 'sh', process.execPath, '--input-type=module', '-e', program], {
      encoding: 'utf8',
    })
    assert.equal(ran.status, 0, ran.stderr)
    const [capabilities, findings] = JSON.parse(ran.stdout)
    const landlock = findings.find(({ name }: { name: string }) => name === 'landlock')
    assert.deepEqual(capabilities.tier, { substrate: 'local', isolation: landlock.status === 'ok' ? 'I1' : 'I0', copy: 'C1' })
    assert.equal(capabilities.isolated, false)
    assert.equal(findings[0].status, 'failed')
    assert.equal(findings[0].fix, 'sudo apt-get install bubblewrap')
  } finally {
    await ground.dispose()
  }
})
