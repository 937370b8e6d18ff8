/** The command against a Hub that breaks off: half a difference is never one that somebody applies. */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { PATCH_BROKEN_OFF } from '@autovibe/contract'
import { json, startTestHub, type TestHub } from '../sdk/testing.ts'

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url))
const [A, B] = ['ckp_00000000000000000000000001', 'ckp_00000000000000000000000002']
const PATCH =
  'diff --git a/x b/x\nnew file mode 100644\nindex 0000000000000000000000000000000000000000..587be6b4c3f93f93c489c0111bba5596147a26cb\n--- /dev/null\n+++ b/x\n@@ -0,0 +1,1 @@\n+x\r\u001b[0m\n'

const hubWith = (diff: (response: Parameters<TestHub['answer']>[1]) => void): Promise<TestHub> =>
  startTestHub((asked, response) => (asked.url.pathname.endsWith('/diff') ? diff(response) : json(response, { id: asked.url.pathname.split('/').at(-1) })))

async function autovibe(hub: TestHub, ...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { ...process.env, AUTOVIBE_URL: hub.url, AUTOVIBE_API_KEY: 'avk_test' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const read = async (stream: NodeJS.ReadableStream): Promise<string> => (await Array.fromAsync(stream.setEncoding('utf8'))).join('')
  const code = new Promise<number | null>((resolve) => child.once('close', resolve))
  const [stdout, stderr] = await Promise.all([read(child.stdout), read(child.stderr)])
  return { code: await code, stdout, stderr }
}

test('a patch is handed on byte for byte', async () => {
  await using hub = await hubWith((response) => response.end(PATCH))
  assert.deepEqual(await autovibe(hub, 'diff', A, B), { code: 0, stdout: PATCH, stderr: '' })
  const asked = hub.asked.at(-1)
  assert.deepEqual([asked?.headers.accept, asked?.url.pathname, asked?.url.searchParams.get('against')], ['text/x-diff', `/v1/checkpoints/${B}/diff`, A])
})

test('a patch that breaks off between two files is one that git refuses', async () => {
  await using hub = await hubWith((response) => response.write(PATCH, () => response.destroy()))
  const { code, stdout, stderr } = await autovibe(hub, 'diff', A, B)
  assert.equal(code, 3, stderr)
  assert.equal(stdout, PATCH + PATCH_BROKEN_OFF)
  const folder = await mkdtemp(join(tmpdir(), 'autovibe-broken-'))
  try {
    const apply = promisify(execFile)('git', ['apply', '-'], { cwd: folder, env: { ...process.env, GIT_CEILING_DIRECTORIES: tmpdir() } })
    apply.child.stdin?.end(stdout)
    await assert.rejects(apply)
    assert.deepEqual(await readdir(folder), [])
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('lines that break off are an error, and so is a patch of which nothing came', async () => {
  const head = { type: 'diff', checkpoint_id: B, against_id: A, source_commit: null, source_base_commit: null }
  await using hub = await hubWith((response) => response.end(`${JSON.stringify(head)}\n`))
  for (const form of ['--json', '--stat', '--name-status']) {
    const { code, stderr } = await autovibe(hub, 'diff', A, B, form)
    assert.equal(code, 3, stderr)
    assert.match(stderr, /broke off/)
  }
  hub.answer = (asked, response) =>
    asked.url.pathname.endsWith('/diff')
      ? (response.writeHead(200).flushHeaders() ?? response.destroy())
      : json(response, { id: asked.url.pathname.split('/').at(-1) })
  const { code, stdout } = await autovibe(hub, 'diff', A, B)
  assert.deepEqual([code, stdout], [3, ''])
})
