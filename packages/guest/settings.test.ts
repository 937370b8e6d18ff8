/** What the guest is told, and what it takes for granted. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { settingsFrom } from './settings.ts'

test('without a word it does what a VM of a template needs', () => {
  const settings = settingsFrom([])
  assert.deepEqual(
    { ...settings, agentCommand: settings.agentCommand.slice(1).map((word) => word.split('/').slice(-3).join('/')) },
    {
      stateFolder: '/var/lib/autovibe',
      runFolder: '/run/autovibe',
      invitationFile: '/sys/class/dmi/id/product_serial',
      agentCommand: ['packages/agent/main.ts'],
      agentsFolder: '/opt/autovibe/agents',
      owner: { uid: 1000, gid: 1000 },
      treeAt: '/machine',
      rekeyRoot: '/',
      onlyCopies: false,
      onlyRekey: false,
    },
  )
})

test('an agent is never root, and its command is a list of words', () => {
  for (const user of ['0:0', '1000:0', '0:1000', 'root', '1000', '-1:5']) assert.throws(() => settingsFrom([`--user=${user}`]), /--user/)
  for (const command of ['[]', '"node"', '[1]', '{}']) assert.throws(() => settingsFrom(['--agent-command', command]), /--agent-command/)
  assert.throws(() => settingsFrom(['--agent-comand', '[]']))
  const { owner, treeAt, rekeyRoot } = settingsFrom(['--user', 'none', '--tree-at', 'none', '--rekey-root', 'none'])
  assert.deepEqual([owner, treeAt, rekeyRoot], [null, null, null])
})
