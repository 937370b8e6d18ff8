import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RollbackEffects } from '@autovibe/contract'
import { effectLines } from './rollback-effects.ts'

const NONE: RollbackEffects = {
  machine_id: 'mch_x',
  checkpoint_id: 'ckp_x',
  since: '2026-01-01T00:00:00.000Z',
  model_calls: { total: 0, cost: '0', estimated: 0, models: [] },
  egress: { connections: 0, bytes: '0', total: 0, destinations: [] },
  commands: { total: 0, items: [] },
}
const NOW_MS = Date.parse('2026-01-01T00:12:00.000Z')

test('where nothing has left the machine it says so', () => {
  assert.deepEqual(effectLines(NONE, NOW_MS), ['Nothing that cannot be undone: since then no model call, no connection, no command of people.'])
})

test('each kind has a line with its figures, some by name, and what a machine says cannot move the cursor', () => {
  const item = (command: string) => ({ exec_id: 'exe_x' as const, actor_name: 'anna', command, at: NONE.since })
  const destination = (index: number) => ({ destination: `h${index}.test:443`, connections: 1, bytes: '1024' })
  const lines = effectLines(
    {
      ...NONE,
      model_calls: { total: 3, cost: '210000000', estimated: 1, models: [{ provider: 'anthropic', model: 'claude\u001b[2J', calls: 3, cost: '210000000' }] },
      egress: { connections: 9, bytes: '9216', total: 9, destinations: Array.from({ length: 9 }, (_, index) => destination(index)) },
      commands: { total: 1, items: [item('')] },
    },
    NOW_MS,
  )
  assert.deepEqual(lines, [
    'What cannot be undone, of the last 12 min:',
    '  3 model calls, $0.21 (3 claude [2J; the cost of 1 is estimated)',
    '  9 connections, 9.0 KiB: h0.test:443 (1, 1.0 KiB), h1.test:443 (1, 1.0 KiB), h2.test:443 (1, 1.0 KiB), h3.test:443 (1, 1.0 KiB), h4.test:443 (1, 1.0 KiB) and 4 more',
    '  1 command of people: a shell (anna)',
  ])
})
