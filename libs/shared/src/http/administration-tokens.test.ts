/** Files with administration tokens: what is read, what is refused and how that is told. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readTokens, secretsOfTokens, sha256 } from './administration-tokens.ts'

const summary = (text: string) =>
  readTokens(text).map(({ name, scopes, sha256 }) => [name, scopes.join(), sha256.toString('hex').slice(0, 8)])
const short = (secret: string) => sha256(secret).toString('hex').slice(0, 8)

test('a file with one text is one token that may do everything, spaces in it included', () => {
  for (const [text, token] of [
    ['s3cr3t', 's3cr3t'],
    ['\uFEFFs3cr3t\r\n', 's3cr3t'],
    ['# of the console\n\nall of this\n', 'all of this'],
    ['console all s3cr3t', 'console all s3cr3t'],
  ] as const)
    assert.deepEqual(summary(text), [['token', 'read,write', short(token)]])
})

test('named tokens have scopes, plain or hashed; two may have one name', () => {
  const hash = sha256('new').toString('hex')
  assert.deepEqual(
    summary(`# name scopes token\nconsole read,write old\nconsole write sha256:${hash}\n\n  grafana\tread  x \n`),
    [
      ['console', 'read,write', short('old')],
      ['console', 'read,write', short('new')],
      ['grafana', 'read', short('x')],
    ],
  )
  assert.deepEqual(summary('grafana read x'), [['grafana', 'read', short('x')]])
})

test('what is wrong is told with its line, and never with the token', () => {
  for (const [text, wanted] of [
    ['', /empty/],
    ['# only words\n', /empty/],
    ['a read x\nSECRET', /line 2 is not like/],
    ['a read x\nb admin SECRET', /line 2: the scopes/],
    ['a read x\nb read sha256:SECRET', /line 2: 'sha256:' has 64/],
    ['a read SECRÉT\nb read x', /line 1: a token consists/],
    [' SECRET ', /begin or end/],
    ['SECR\u00c9T', /ASCII/],
  ] as const)
    assert.throws(
      () => readTokens(text),
      (error: Error) => wanted.test(error.message) && !error.message.includes('SECR'),
      text,
    )
})

test('a hundred tokens are read, one more is not', () => {
  const lines = Array.from({ length: 101 }, (_, n) => `name-${n} read token-${n}`)
  assert.equal(readTokens(lines.slice(1).join('\n')).length, 100)
  assert.throws(() => readTokens(lines.join('\n')), /more than 100/)
})

test('the secrets of a file are known to whoever must hide them', () => {
  assert.deepEqual(secretsOfTokens(`# remark\na read one\nb write two\nc read sha256:${'a'.repeat(64)}`), [
    'one',
    'two',
  ])
  assert.deepEqual(secretsOfTokens('s3cr3t'), ['s3cr3t'])
})
