import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DEFAULT_TRIGGERS } from '@autovibe/contract'
import { triggerLines, triggersInWords } from './triggers.ts'

test('what is switched off is not listed, but the end is always, and so are commands that are named for nothing', () => {
  const off = { after_response: 'never', before_risky: false, every_minutes: 0, every_budget_percent: 0, at_end: false } as const
  assert.deepEqual(triggerLines({ ...DEFAULT_TRIGGERS, ...off }), ['at the end of a run, if something has changed that is not kept'])
  assert.equal(triggersInWords({ ...DEFAULT_TRIGGERS, ...off }), 'at the end if something has changed')
  assert.deepEqual(triggerLines({ ...DEFAULT_TRIGGERS, ...off, at_end: true, risky_patterns: ['make deploy'] }), [
    'at the end of a run',
    'not before risky commands, though some are named: make deploy',
  ])
})

test('times are said in their own unit', () => {
  const lines = triggerLines({ ...DEFAULT_TRIGGERS, after_response: 'always', every_minutes: 90, floor_seconds: 90 })
  assert.deepEqual(lines[0], 'after a step of the agent')
  assert.ok(lines.includes('when 1 h 30 min have passed since the last one'), lines.join('\n'))
  assert.match(lines.at(-1) ?? '', /^no sooner than 1 min 30 s after the last one/)
})
