import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LimitsProposal } from '@autovibe/contract'
import pc from 'picocolors'
import { readLimits } from '../limits.ts'
import { commandOf, renderProposal } from './limits-proposal.ts'

const GIB = 1024 ** 3
const paint = pc.createColors(false)
const seen = { runs: 4, runs_needed: 3, seen_seconds: 1800, seen_seconds_needed: 600 }
const limit = (now: number, proposed: number) => ({ now, proposed, seen: proposed / 2, reason: 'seen so' })
const proposal: LimitsProposal = {
  ...seen,
  proposal: { cores: limit(2, 0.75), memory_bytes: limit(4 * GIB, 1.375 * GIB), disk_bytes: limit(3 * GIB, 3 * GIB) },
}

test('each limit is shown as it is, as it is proposed, and why', () => {
  assert.deepEqual(renderProposal('shop', proposal, paint), [
    'project shop: what a new machine should be given, by 4 runs, 30 min 0 s at work.',
    'LIMIT   NOW      PROPOSED  BECAUSE',
    'cores   2        0.75      seen so',
    'memory  4.0 GiB  1.4 GiB   seen so',
    'disk    3.0 GiB  as it is  seen so',
  ])
})

test('the command sets exactly what is proposed, and leaves out what stays', () => {
  const command = commandOf('shop', proposal)
  assert.equal(command, 'autovibe project limits shop --cores 0.75 --memory 1408MiB')
  assert.deepEqual(readLimits({ cores: '0.75', memory: '1408MiB' }), { cores: 0.75, memory_bytes: 1.375 * GIB })
  const odd: LimitsProposal = { ...seen, proposal: { cores: limit(1, 1), memory_bytes: limit(1, 268_435_457), disk_bytes: null } }
  assert.equal(commandOf('shop', odd), 'autovibe project limits shop --memory 268435457')
  assert.equal(commandOf('shop', { ...seen, proposal: { cores: limit(1, 1), memory_bytes: limit(1, 1), disk_bytes: null } }), null)
})

test('while too little was seen it says how much, and what it takes', () => {
  const little: LimitsProposal = { ...seen, runs: 1, seen_seconds: 90, proposal: null }
  assert.deepEqual(renderProposal('shop', little, paint), [
    'project shop: too little was seen yet to propose limits (1 run, 1 min 30 s at work). It takes 3 runs and 10 min 0 s at work in 30 days.',
  ])
  assert.equal(commandOf('shop', little), null)
})
