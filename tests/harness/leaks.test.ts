/** A finder of secrets that finds none would be worthless: each form is found, and what is none is not. */
import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { LeakFinder } from './leaks.ts'

const payload = randomBytes(100)
const text = Buffer.from('a letter to nobody else')
const token = randomUUID()
const finder = () =>
  new LeakFinder({
    payloads: [payload, text].map(bytes => bytes.subarray(0, 16).toString('hex')),
    texts: [token.replaceAll('-', ''), 'pass word'],
  })
const found = (line: string) => finder().find(line)?.form

test('bytes in every form', () => {
  assert.equal(found(`event key=${payload.toString('hex')}`), 'hexadecimal')
  assert.equal(found(`{"x":"00${payload.toString('hex').toUpperCase()}"}`), 'hexadecimal')
  assert.equal(found(`{"x":"${payload.toString('base64')}"}`), 'base64')
  assert.equal(found(`x=${payload.toString('base64url')}`), 'base64')
  assert.equal(found(JSON.stringify({ x: payload })), 'list of numbers')
  assert.equal(found(JSON.stringify({ x: new Uint8Array(payload) })), 'list of numbers')
  assert.equal(found(inspect({ x: [...payload] }, { breakLength: Number.POSITIVE_INFINITY })), 'list of numbers')
  assert.equal(found(inspect({ x: payload })), 'dump')
  assert.equal(found(`event ${text}`), 'payload as text')
})

test('tokens and passwords', () => {
  assert.equal(found(`token=${token}`), 'UUID')
  assert.equal(found(`token=${token.toUpperCase()}`), 'UUID')
  assert.equal(found(`token=${token.replaceAll('-', '')}`), 'hexadecimal')
  assert.equal(found('postgresql://user:pass word@host'), 'text')
})

test('what is no secret is not found', () => {
  const line = `2026-01-02T03:04:05.000006Z [info     ] Request cmd=ping conn_id=${randomBytes(16).toString('hex')}`
  assert.equal(found(line), undefined)
  assert.equal(found(`${randomUUID()} ${randomBytes(40).toString('base64')} ${inspect(randomBytes(40))}`), undefined)
})
