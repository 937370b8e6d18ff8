import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ageOn } from '../src/age.js'

test('someone is a year older on the birthday itself', () => {
  assert.equal(ageOn('1990-12-10', new Date('2020-12-10')), 30)
})

test('someone is not a year older on the day before the birthday', () => {
  assert.equal(ageOn('1990-12-10', new Date('2020-12-09')), 29)
})

test('someone is 0 years old on the day of birth', () => {
  assert.equal(ageOn('2020-12-10', new Date('2020-12-10')), 0)
})
