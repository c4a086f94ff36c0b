/** Spans of time as operators write them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { duration } from './duration.ts'

test('a number and a unit', () => {
  const { parse } = duration('1s')
  assert.deepEqual(
    ['90s', '15m', '24h', '7D', ' 1.5h '].map(text => parse(text)),
    [90_000, 900_000, 86_400_000, 604_800_000, 5_400_000],
  )
})
test('anything else, and too little, is refused', () => {
  const { parse } = duration('1h')
  for (const text of ['', '24', 'h', '-1h', '1w', '1h30m']) assert.throws(() => parse(text), /is not a span of time/)
  assert.throws(() => parse('59m'), /^Error: '59m' is less than 1h\.$/)
})
