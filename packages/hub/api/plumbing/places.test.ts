import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Places } from './places.ts'

test('when all places are taken the next one is refused, and a place that is given back twice is free once', () => {
  const places = new Places(2, 'archives are being made')
  const [leave] = [places.take(), places.take()]
  const full = { code: 'request.rate_limited', message: '2 archives are being made already.' }
  assert.throws(() => places.take(), full)
  leave()
  leave()
  places.take()
  assert.throws(() => places.take(), full)
})
