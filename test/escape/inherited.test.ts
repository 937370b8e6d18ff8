/** Ways out that lie open by accident: descriptors that the Hub was started with, device files of the host, files of /proc that tell of the whole host. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, openSync, statSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { perl } from './perl.ts'
import { asRoot, attempt, refused, Stage } from './stage.ts'

const rootOnly = asRoot ? false : 'only root owns it'
const DRIVER = fileURLToPath(new URL('inherited-driver.ts', import.meta.url))

let stage: Stage
before(async () => {
  stage = await Stage.open()
})
after(() => stage.close())
const on = (): Stage => stage

test('a folder that the Hub was started with is not open in a machine', (t) => {
  const weak = stage.weak
  if (weak !== false) return t.skip(weak)
  // As a shell that starts the Hub with `37<folder` would: outside, a child of the Hub reads through it.
  const folder = openSync(stage.outside, 'r')
  try {
    const stdio = ['ignore', 'pipe', 'pipe', ...Array.from({ length: 34 }, () => 'ignore' as const), folder] as const
    const ran = spawnSync(process.execPath, [DRIVER], { stdio: [...stdio], encoding: 'utf8' })
    assert.equal(ran.status, 0, ran.stderr)
    const { child, machine } = JSON.parse(ran.stdout)
    assert.deepEqual(child, { code: 0, said: stage.secret }, 'it does not even succeed outside')
    refused(t, machine)
  } finally {
    closeSync(folder)
  }
})

for (const device of ['null', 'zero', 'full', 'random', 'urandom', 'tty']) {
  // Set to what it is: enough to prove that it could be closed for everybody on the host.
  const mode = (statSync(`/dev/${device}`).mode & 0o7777).toString(8)
  attempt(on, `the mode of the host’s /dev/${device} is not changed`, { skip: rootOnly, script: () => `chmod ${mode} /dev/${device} || exit 1` })
}
attempt(on, 'the modes of devices are not changed through descriptors of the machine’s processes', {
  skip: rootOnly,
  outside: () => `exec 9</dev/null; ${changesDevices('/proc/self/fd/9')}`,
  script: () => changesDevices('/proc/[0-9]*/fd/*'),
})
for (const file of ['keys', 'slabinfo', 'kpageflags', 'kpagecount', 'vmallocinfo', 'timer_list', 'kallsyms']) {
  attempt(on, `/proc/${file}, which tells of the whole host, is not read`, {
    skip: asRoot || file === 'keys' || file === 'kallsyms' ? false : 'only root may read it outside',
    hostMayRefuse: true,
    script: () => `head -c 8 /proc/${file} >/dev/null || exit 1`,
  })
}

/** Opens what these links lead to and sets the mode of what is a device to that of /dev/null. */
const changesDevices = (links: string): string =>
  perl(`for (glob("${links}")) { next unless -c $_ && (stat(_))[6]==0x103; open(F,"<",$_)||next; chmod(0666,*F) && got("changed $_") } lost("none")`)
