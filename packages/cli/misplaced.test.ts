import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Problem } from '@autovibe/contract'

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url))

/** Of the real command, where no Hub is. */
function fixOf(args: readonly string[]): string | null | undefined {
  const env = { PATH: process.env['PATH'], HOME: tmpdir(), AUTOVIBE_DATA_DIR: join(tmpdir(), 'autovibe-test-no-hub') }
  const { stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args, '--json'], { env, encoding: 'utf8' })
  assert.equal(stdout, '')
  return Problem.parse(JSON.parse(stderr)).fix
}

test('what stands in the wrong place is put into the right one', () => {
  for (const [args, fix] of [
    [['project', 'egress', 'shop', 'foo.com:443', '*.foo.com:443'], "autovibe project egress shop --allow foo.com:443 --allow '*.foo.com:443'"],
    [['checkpoint', 'retention', 'shop', '--keep-last', '5'], 'autovibe checkpoint retention --project shop --keep-last 5'],
    [['checkpoint', 'retention', 'shop', 'forge'], 'autovibe checkpoint retention --help'],
    [['exec', 'calm-owl', 'ls', '-l'], 'autovibe exec calm-owl -- ls -l'],
    [['exec', '-i', 'calm-owl', 'npm', 'test', '--watch', 'a b'], "autovibe exec -i calm-owl -- npm test --watch 'a b'"],
    [['exec', 'calm-owl'], 'autovibe exec -it calm-owl'],
    [['rollback', 'ckp_01m8wxtd', 'calm-owl'], 'autovibe rollback calm-owl ckp_01m8wxtd'],
    [['exec', '-l', 'calm-owl'], 'autovibe exec --help'],
  ] as const)
    assert.equal(fixOf(args), fix)
})
