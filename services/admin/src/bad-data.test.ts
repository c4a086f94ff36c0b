/** Bodies of the administration API: what is read, what is tolerated, what is refused and how that is told. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bool, count, limit, organization, readBody, text, user } from './bad-data.ts'

const read = (json: unknown) => readBody(Buffer.from(JSON.stringify(json)), { frozen: bool }, { count, limit, text })
const reasonOf = (outcome: object): unknown =>
  'bad' in outcome ? (outcome.bad as { reason: string }).reason : undefined

test('bytes that are no UTF-8 JSON are told by one fixed reason (02-organization-http §7.1)', () => {
  const bodies = ['', '{', 'garbage', '\uFEFF{"frozen": true}', '['.repeat(100_000)].map(body => Buffer.from(body))
  for (const body of [...bodies, Buffer.from([0x22, 0xff, 0x22]), undefined])
    assert.equal(reasonOf(readBody(body, {}, {})), 'Invalid JSON')
})

test('a body that is no object is refused as a whole', () => {
  for (const json of [null, [], 'text', 42, true]) assert.match(String(reasonOf(read(json))), /"_schema"/)
})

test('unknown fields are ignored, absent optional ones stay absent', () => {
  assert.deepEqual(read({ frozen: true, more: 1 }), { fields: { frozen: true } })
})

test('every wrong field is named', () => {
  const reason = String(reasonOf(read({ count: 'x', limit: -1, text: 42 })))
  for (const field of ['frozen', 'count', 'limit', 'text']) assert.match(reason, new RegExp(`"${field}"`))
})

test('null is refused, except for a limit, where it means none', () => {
  assert.deepEqual(read({ frozen: true, limit: null }), { fields: { frozen: true, limit: null } })
  for (const json of [{ frozen: null }, { frozen: true, count: null }, { frozen: true, text: null }])
    assert.match(String(reasonOf(read(json))), /may not be null/)
})

test('booleans may be 0, 1 and their usual spellings; other numbers and texts are refused', () => {
  for (const value of [true, 1, '1', 't', 'T', 'true', 'True', 'TRUE']) assert.deepEqual(bool(value), { value: true })
  for (const value of [false, 0, '0', 'f', 'F', 'false', 'False', 'FALSE'])
    assert.deepEqual(bool(value), { value: false })
  for (const value of [42, 'foo', '', [], {}]) assert.ok('wrong' in bool(value), String(value))
})

test('integers are 0 to 2³¹−1; numeric texts are read, fractions cut off', () => {
  for (const [given, value] of [
    [0, 0],
    ['7', 7],
    [' 7 ', 7],
    [3.9, 3],
    [-0.5, 0],
    [2 ** 31 - 1, 2 ** 31 - 1],
  ] as const)
    assert.deepEqual(count(given), { value })
  for (const value of [-1, '-1', 2 ** 31, 1e300, 'foo', '1.5', '', true, []])
    assert.ok('wrong' in count(value), String(value))
})

test('ids are those of the protocol, normalised to NFC', () => {
  assert.deepEqual(organization('Cafe\u0301'), { value: 'Caf\u00e9' })
  for (const value of ['', 'a b', 'x'.repeat(33), 'a/b', 42]) {
    assert.ok('wrong' in organization(value), String(value))
    assert.ok('wrong' in user(value), String(value))
  }
})

test('a field named like a property of every object is an unknown field', () => {
  const body = Buffer.from('{"frozen": true, "__proto__": {"frozen": false}, "constructor": 1}')
  assert.deepEqual(readBody(body, { frozen: bool }, {}), { fields: { frozen: true } })
})
