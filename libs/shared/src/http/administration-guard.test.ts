/** The administration token: what is compared, and a limit that only refused calls meet. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog, type Log } from '../log.ts'
import { AdministrationGuard } from './administration-guard.ts'
import { readTokens, sha256 } from './administration-tokens.ts'
import { MAX_COUNTED, RateLimit } from './rate-limit.ts'

const silent: Log = { debug() {}, info() {}, warning() {}, error() {}, critical() {}, child: () => silent }

const RIGHT = readTokens('s3cr3t')[0]

test('only the exact token is allowed', () => {
  const guard = new AdministrationGuard(readTokens('s3cr3t'), silent)
  assert.deepEqual(guard.check('s3cr3t', 'a', 0), RIGHT)
  for (const token of [undefined, '', 's3cr3', 's3cr3tt', 'S3cr3t', ' s3cr3t'])
    assert.equal(guard.check(token, 'a', 0), 'refused', String(token))
  // A file may hold the hash of anything; whoever shows no token shows nothing that could have it.
  const ofNothing = new AdministrationGuard(readTokens(`empty read sha256:${sha256('').toString('hex')}`), silent)
  assert.equal(ofNothing.check(undefined, 'a', 0), 'refused')
})

test('old and new tokens are right side by side, until the old one is gone', () => {
  const guard = new AdministrationGuard(readTokens('console write old'), silent)
  const nameOf = (token: string) => {
    const verdict = guard.check(token, 'a', 0)
    return typeof verdict === 'string' ? verdict : `${verdict.name} ${verdict.scopes}`
  }
  guard.replace(readTokens('console write old\nconsole read new'))
  assert.deepEqual([nameOf('old'), nameOf('new')], ['console read,write', 'console read'])
  guard.replace(readTokens('console read new'))
  assert.deepEqual([nameOf('old'), nameOf('new')], ['refused', 'console read'])
})

test('an address with too many refused calls is told so until the window is over; the right token always passes', () => {
  const guard = new AdministrationGuard(readTokens('s3cr3t'), silent)
  for (let n = 0; n < 200; n++) assert.equal(guard.check('wrong', 'a', 1), 'refused')
  assert.equal(guard.check('wrong', 'a', 1), 'too_many')
  assert.equal(guard.check('wrong', 'b', 1), 'refused')
  assert.deepEqual(guard.check('s3cr3t', 'a', 1), RIGHT)
  assert.equal(guard.check('wrong', 'a', 10_001), 'refused')
  // Whoever has one IPv6 address has all of its network.
  for (let n = 0; n < 200; n++) guard.check('wrong', `2001:db8::${n}`, 1)
  assert.equal(guard.check('wrong', '2001:db8::ffff', 1), 'too_many')
})

test('wrong tokens are a warning with the address, once a minute; no token at all is none', () => {
  const log = createLog({ level: 'WARNING', format: 'JSON', file: '/dev/null' })
  const lines = () => log.warnings().map(({ event, keys }) => [event, JSON.parse(keys)])
  const guard = new AdministrationGuard(readTokens('s3cr3t'), log)
  guard.check(undefined, 'a', 1)
  assert.deepEqual(lines(), [])
  for (let n = 0; n < 201; n++) guard.check(`wrong-${n}`, 'a', 1)
  assert.deepEqual(lines(), [
    ['Wrong administration token', { address: 'a' }],
    ['Too many wrong administration tokens', { address: 'a' }],
  ])
})

test('callers are counted in bounded memory', () => {
  const rate = new RateLimit(1, 1000)
  assert.ok(rate.take('first', 0))
  assert.ok(!rate.take('first', 0))
  for (let n = 0; n < MAX_COUNTED; n++) rate.take(`caller-${n}`, 0)
  assert.ok(rate.take('first', 0))
})
