import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { readSettings } from './settings.ts'

const withFiles = (look: (root: string, env: NodeJS.ProcessEnv) => void) => {
  const root = mkdtempSync(join(tmpdir(), 'autovibe-test-settings-'))
  mkdirSync(join(root, 'autovibe'))
  mkdirSync(join(root, 'project'))
  try {
    look(root, { XDG_CONFIG_HOME: root })
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

test('a flag wins over the environment, that over the project file, that over the user file, that over the default', () => {
  withFiles((root, env) => {
    const at = (from: NodeJS.ProcessEnv, flag?: string) =>
      readSettings({ env: { ...env, ...from }, cwd: root, flags: {} })
        .inProject(join(root, 'project'))
        .withFlag('agent', flag)
    assert.deepEqual(at({}), { value: undefined, origin: 'default' })
    writeFileSync(join(root, 'autovibe/config.json'), '{"agent": "user"}')
    assert.equal(at({}).value, 'user')
    writeFileSync(join(root, 'project/.autovibe.json'), '{"agent": "project"}')
    assert.deepEqual(at({}), { value: 'project', origin: join(root, 'project/.autovibe.json') })
    assert.deepEqual(at({ AUTOVIBE_AGENT: 'environment' }), { value: 'environment', origin: 'AUTOVIBE_AGENT' })
    assert.deepEqual(at({ AUTOVIBE_AGENT: 'environment' }, 'flag'), { value: 'flag', origin: '--agent' })
    assert.equal(at({ AUTOVIBE_AGENT: '' }).value, 'project', 'an empty variable is none')
  })
})

test("somebody's repository cannot choose the data directory or the port", () => {
  withFiles((root, env) => {
    for (const file of ['{"data_dir": "/tmp/x"}', '{"port": 1}', '{"allow_unisolated": "true"}', '[]', '{', '{"check": ["x"]}']) {
      writeFileSync(join(root, 'project/.autovibe.json'), file)
      assert.throws(() => readSettings({ env, cwd: root, flags: {} }).inProject(join(root, 'project')), { code: 'request.invalid' }, file)
    }
  })
})

test('the data directory comes from flag, AUTOVIBE_DATA_DIR, the user file, XDG_DATA_HOME, and is made absolute', () => {
  withFiles((root, env) => {
    const dataDir = (more: NodeJS.ProcessEnv, flag?: string) => readSettings({ env: { ...env, ...more }, cwd: '/work', flags: { data_dir: flag } }).dataDir
    assert.equal(dataDir({ XDG_DATA_HOME: '/xdg' }), '/xdg/autovibe')
    assert.equal(dataDir({ XDG_DATA_HOME: '/xdg', AUTOVIBE_DATA_DIR: 'here' }), '/work/here')
    assert.equal(dataDir({ AUTOVIBE_DATA_DIR: 'here' }, 'there'), '/work/there')
    writeFileSync(join(root, 'autovibe/config.json'), '{"data_dir": "/mine"}')
    assert.equal(dataDir({ XDG_DATA_HOME: '/xdg' }), '/mine')
  })
})
