/** The page about model scripts is run as a newcomer pastes it: every command of its whole way, in one shell, on ports and in a folder of the test's own. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { makePlace } from './support/command.ts'

const CHECKOUT = fileURLToPath(new URL('../', import.meta.url))
const PAGE = readFileSync(join(CHECKOUT, 'docs/reference/model-script.md'), 'utf8')

/** The blocks of shell commands of the part with this heading, one after the other. */
function commandsOf(heading: string): string {
  const [, part = ''] = PAGE.split(`## ${heading}\n`)
  const [own = ''] = part.split('\n## ')
  return [...own.matchAll(/```sh\n(.*?)```/gs)].map(([, block]) => block).join('')
}

async function freePort(): Promise<string> {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return String(port)
}

test('the whole way of a model script works as it stands on its page, and leaves nothing behind', { timeout: 180_000 }, async () => {
  const place = await makePlace()
  const folder = join(place.folder, 'way')
  mkdirSync(folder)
  const written = commandsOf('The whole way')
  for (const needed of ['provider set', 'provider remove', 'autovibe run', 'autovibe apply', 'down --purge', '/tmp/autovibe-scripted/data', '7430', '7431'])
    assert.ok(written.includes(needed), needed)
  const script = written
    .replaceAll('/tmp/autovibe-scripted/data', place.dataDir)
    .replaceAll('/tmp/autovibe-scripted', folder)
    .replaceAll('7430', await freePort())
    .replaceAll('7431', await freePort())
  const inherited = Object.entries(process.env).filter(([name]) => !/^(AUTOVIBE_(?!EXTRA_CA_CERTS|CACHE_DIR)|ANTHROPIC_|GIT_|NODE_TEST_)/.test(name))
  const shell = spawn('bash', ['-e', '-o', 'pipefail', '-c', script], {
    cwd: CHECKOUT,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...Object.fromEntries(inherited), TMPDIR: place.temporary },
  })
  // A command that failed has left the model running, in the group that is the shell's own.
  shell.once('exit', (code) => code !== 0 && shell.pid !== undefined && endGroup(shell.pid))
  try {
    const [out, errors, [code]] = await Promise.all([text(shell.stdout), text(shell.stderr), once(shell, 'exit')])
    assert.equal(code, 0, `${out}\n${errors}`)
    for (const said of [/✓ check npm test passed/, /✓ run succeeded/, /^\+9 −1 in 2 files$/m, /changed +src\/age\.js/, /The provider scripted was removed/])
      assert.match(out, said)
    assert.deepEqual([existsSync(folder), existsSync(place.dataDir)], [false, false])
    assert.deepEqual([...(await place.processes())], [])
  } finally {
    await place.remove()
  }
})

function endGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    // Nothing of it was left.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
