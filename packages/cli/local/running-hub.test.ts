/** What a running Hub cannot take is refused, and what changes nothing is not. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import type { Finding } from '@autovibe/contract'
import { assertRunningHubTakes } from './running-hub.ts'

const rotated: Finding = { area: 'hub', name: 'master key', status: 'ok', detail: 'rotated', fix: null }
const KEY = randomBytes(32).toString('base64')
const take = (env: NodeJS.ProcessEnv, port?: string, findings: readonly Finding[] = []) =>
  assertRunningHubTakes({ env, port, url: 'http://127.0.0.1:7420', findings })

test('a rotation of a running Hub is refused, unless it is the one that its start has made', () => {
  const refused = { code: 'hub.already_running', fix: /autovibe down/ }
  assert.throws(() => take({ AUTOVIBE_ROTATE_MASTER_KEY: '1' }), refused)
  assert.throws(() => take({ AUTOVIBE_ROTATE_MASTER_KEY: '1' }, undefined, [rotated]), refused)
  for (const name of ['AUTOVIBE_MASTER_KEY_PREVIOUS', 'AUTOVIBE_MASTER_KEY_PREVIOUS_FILE']) {
    assert.throws(() => take({ [name]: '/a' }), refused)
    assert.throws(() => take({ [name]: '/a' }, undefined, [{ ...rotated, status: 'warning' }]), refused)
    take({ [name]: '/a' }, undefined, [rotated])
  }
})

test('another port, and a master key that is none, are refused', () => {
  assert.throws(() => take({}, '7431'), { code: 'hub.already_running', message: /7420.*7431/ })
  assert.throws(() => take({ AUTOVIBE_MASTER_KEY: 'abc' }), { code: 'hub.master_key' })
})

test('what says nothing new is taken', () => {
  take({})
  take({ AUTOVIBE_ROTATE_MASTER_KEY: '', AUTOVIBE_MASTER_KEY: KEY, AUTOVIBE_MASTER_KEY_PREVIOUS: '' })
  for (const port of ['7420', '0']) take({}, port)
})
