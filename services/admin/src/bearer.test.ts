/** The bearer token: exact comparison, and a limit that only refused calls meet. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bearer, MAX_COUNTED_ADDRESSES, MAX_REFUSED_CALLS, REFUSED_WINDOW_MS } from './bearer.ts'

test('only the exact header is allowed (02-organization-http §7.1)', () => {
  const bearer = new Bearer('s3cr3t')
  assert.equal(bearer.check('Bearer s3cr3t', 'a', 0), 'allowed')
  const others = [
    undefined,
    '',
    's3cr3t',
    'Bearer',
    'Bearer ',
    'bearer s3cr3t',
    'Bearer  s3cr3t',
    'Bearer s3cr3t ',
    'Bearer s3cr3',
  ]
  for (const header of others) assert.equal(bearer.check(header, 'a', 0), 'refused', String(header))
})

test('an address with too many refused calls is told so until the window is over; the right token always passes', () => {
  const bearer = new Bearer('s3cr3t')
  for (let n = 0; n < MAX_REFUSED_CALLS; n++) assert.equal(bearer.check('wrong', 'a', 1), 'refused')
  assert.equal(bearer.check('wrong', 'a', 1), 'too_many')
  assert.equal(bearer.check('wrong', 'b', 1), 'refused')
  assert.equal(bearer.check('Bearer s3cr3t', 'a', 1), 'allowed')
  assert.equal(bearer.check('wrong', 'a', REFUSED_WINDOW_MS), 'refused')
})

test('addresses are counted in bounded memory', () => {
  const bearer = new Bearer('s3cr3t')
  for (let n = 0; n < MAX_REFUSED_CALLS; n++) bearer.check('wrong', 'first', 0)
  assert.equal(bearer.check('wrong', 'first', 0), 'too_many')
  for (let n = 0; n < MAX_COUNTED_ADDRESSES; n++) bearer.check('wrong', `address-${n}`, 0)
  assert.equal(bearer.check('wrong', 'first', 0), 'refused')
})
