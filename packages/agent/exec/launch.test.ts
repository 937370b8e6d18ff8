import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { ExecStart } from '@autovibe/contract'
import { tellOf } from '../egress/environment.ts'
import { launchOf } from './launch.ts'

const folder = mkdtempSync(join(tmpdir(), 'autovibe-launch-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const paths = { tree: folder, project: folder, home: folder, socket: '', agents: null }
const START = ExecStart.parse({ type: 'start', command: ['true'] })

const environmentOf = (start: ExecStart): Readonly<Record<string, string>> => {
  const launch = launchOf(start, paths, 'mark')
  assert.ok('env' in launch)
  return launch.env
}

test("a person's command reaches what the project allows as the agent's commands do, and never the gateway by itself", (t) => {
  t.after(() => tellOf(null, false))
  tellOf({ url: 'http://127.0.0.1:9', key: 'k' }, false)
  assert.equal(environmentOf(START)['HTTPS_PROXY'], undefined)
  tellOf({ url: 'http://127.0.0.1:9', key: 'k' }, true)
  const { HTTPS_PROXY, AUTOVIBE_GATEWAY_KEY } = environmentOf(START)
  assert.deepEqual([HTTPS_PROXY, AUTOVIBE_GATEWAY_KEY], ['http://machine:k@127.0.0.1:9/', undefined])
  assert.equal(environmentOf({ ...START, env: { HTTPS_PROXY: 'mine' } })['HTTPS_PROXY'], 'mine')
})
