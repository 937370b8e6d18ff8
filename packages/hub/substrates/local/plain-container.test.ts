import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { TestGround } from './test-ground.ts'

/** What Docker leaves to root in a container by default, less what a namespace of an ordinary user cannot give anyway. */
const CAPABILITIES = 'chown,dac_override,fowner,fsetid,kill,setgid,setuid,setpcap,net_bind_service,net_raw,sys_chroot,mknod,audit_write,setfcap'
const LEAST_PASSED = 20
const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url))

/** Root of processes of its own, who may neither mount nor make namespaces: the limit holds for whoever is inside, root included. */
function inContainer(...command: string[]) {
  const bounding = ['-all', ...CAPABILITIES.split(',').map((name) => `+${name}`)].join(',')
  const script = `echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --bounding-set ${bounding} --inh-caps -all -- "$@"`
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  return spawnSync('unshare', ['-U', '-r', '-m', '-p', '-f', '--mount-proc', '--kill-child', 'sh', '-c', script, 'sh', ...command], {
    encoding: 'utf8',
    maxBuffer: 1 << 24,
    env,
  })
}
const possible = inContainer('true')
const skip = possible.status === 0 ? false : `this host lets no such container be made: ${possible.stderr}`

test('in a plain container the substrate takes Landlock and copies by itself, and says what would give more', { skip }, async (t) => {
  const ground = await TestGround.make({})
  t.after(() => ground.dispose())
  const program = `
    import { createLocalSubstrate } from ${JSON.stringify(new URL('create-local-substrate.ts', import.meta.url).href)}
    const door = { listen: async () => undefined, close: async () => undefined }
    const substrate = await createLocalSubstrate({ ...${JSON.stringify(ground.options())}, door, logger: console })
    console.log(JSON.stringify([substrate.capabilities(), substrate.findings()]))`
  const ran = inContainer(process.execPath, '--input-type=module', '--eval', program)
  assert.equal(ran.status, 0, ran.stderr)
  const [{ tier, isolated, summary }, findings] = JSON.parse(ran.stdout)
  const named = (name: string) => findings.find((finding: { name: string }) => finding.name === name)
  if (named('landlock').status !== 'ok') return t.skip(named('landlock').detail)
  assert.deepEqual([tier, isolated], [{ substrate: 'local', isolation: 'I1', copy: 'C1' }, false])
  assert.match(summary, /not for hostile code/)
  assert.equal(named('isolation').status, 'failed')
  assert.match(named('isolation').fix, /--cap-add SYS_ADMIN/)
})

test('the suite also holds in a plain container', { skip }, (t) => {
  const files = ['local.test.ts', 'fence.test.ts'].map(here)
  const ran = inContainer(process.execPath, '--test', '--test-reporter=spec', '--test-name-pattern', 'local I1|a machine behind Landlock', ...files)
  assert.equal(ran.status, 0, ran.stdout.slice(-8000) + ran.stderr.slice(-2000))
  const passed = Number(/^ℹ pass (\d+)$/m.exec(ran.stdout)?.[1] ?? 0)
  assert.ok(passed >= LEAST_PASSED, `only ${passed} cases ran:\n${ran.stdout.slice(0, 4000)}`)
  t.diagnostic(`${passed} cases passed in a plain container`)
})
