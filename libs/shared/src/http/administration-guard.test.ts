/** The administration token: what is compared, and a limit that only refused calls meet. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AdministrationGuard } from './administration-guard.ts'
import { MAX_COUNTED, Rate } from './rate.ts'

test('only the exact token is allowed', () => {
  const guard = new AdministrationGuard('s3cr3t')
  assert.equal(guard.check('s3cr3t', 'a', 0), 'allowed')
  for (const token of [undefined, '', 's3cr3', 's3cr3tt', 'S3cr3t', ' s3cr3t'])
    assert.equal(guard.check(token, 'a', 0), 'refused', String(token))
})

test('an address with too many refused calls is told so until the window is over; the right token always passes', () => {
  const guard = new AdministrationGuard('s3cr3t')
  for (let n = 0; n < 200; n++) assert.equal(guard.check('wrong', 'a', 1), 'refused')
  assert.equal(guard.check('wrong', 'a', 1), 'too_many')
  assert.equal(guard.check('wrong', 'b', 1), 'refused')
  assert.equal(guard.check('s3cr3t', 'a', 1), 'allowed')
  assert.equal(guard.check('wrong', 'a', 10_001), 'refused')
})

test('callers are counted in bounded memory', () => {
  const rate = new Rate(1, 1000)
  assert.ok(rate.take('first', 0))
  assert.ok(!rate.take('first', 0))
  for (let n = 0; n < MAX_COUNTED; n++) rate.take(`caller-${n}`, 0)
  assert.ok(rate.take('first', 0))
})
