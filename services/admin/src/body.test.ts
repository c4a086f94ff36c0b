/** Bodies of the administration API: what is read, what is tolerated, what is refused and how that is told. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from '@parsec/shared/codec/fields'
import { limits } from '@parsec/shared/limits'
import type { z } from 'zod'
import { bool, changes, count, creation, email, freezing, limit, prefers, readBody } from './body.ts'

const request = (body: unknown, prefer?: string) => ({
  body:
    typeof body === 'string' || Buffer.isBuffer(body) || body === undefined ? body : Buffer.from(JSON.stringify(body)),
  headers: { ...(prefer !== undefined && { prefer }) },
})
const read = (json: object | null | number | boolean, prefer?: string) => readBody(request(json, prefer), changes)
const reasonOf = (outcome: object): unknown =>
  'bad' in outcome ? (outcome.bad as { reason: string }).reason : undefined
const takes = (schema: z.ZodType, given: unknown, value: unknown = given) =>
  assert.deepEqual(parse(schema, given), { ok: true, value }, JSON.stringify(given))
const refuses = (schema: z.ZodType, given: unknown) =>
  assert.equal(parse(schema, given).ok, false, JSON.stringify(given))

test('bytes that are no UTF-8 JSON are told by one fixed reason (02-organization-http §7.1)', () => {
  const bodies = ['', '{', 'garbage', '\uFEFF{"frozen": true}', '['.repeat(100_000)].map(body => Buffer.from(body))
  for (const body of [...bodies, Buffer.from([0x22, 0xff, 0x22]), undefined])
    assert.equal(reasonOf(readBody(request(body), changes)), 'Invalid JSON')
})

test('a body that is no object is refused as a whole', () => {
  for (const json of ['null', '[]', '"text"', '42', 'true'])
    assert.match(String(reasonOf(readBody(request(Buffer.from(json)), changes))), /"_schema"/)
})

test('unknown fields are ignored, absent optional ones stay absent (02-organization-http#9)', () => {
  assert.deepEqual(read({ is_expired: true, more: 1 }), { fields: { is_expired: true } })
  for (const json of [{ dummy: 'x' }, { is_bootstrapped: true, bootstrap_token: 'x' }, { unknown_field: 1 }])
    assert.deepEqual(read(json), { fields: {} })
})

test('a misspelt field is refused, and the one that is meant is named', () => {
  for (const field of ['active_user_limit', 'activeUsersLimit', 'active-users-limit', 'Active_Users_Limit'])
    assert.match(String(reasonOf(read({ [field]: 3 }))), /Did you mean `active_users_limit`/, field)
  assert.match(String(reasonOf(read({ expired: true, is_expierd: true }))), /Did you mean `is_expired`/)
  assert.match(String(reasonOf(readBody(request({ frozen: true, userid: 'x' }), freezing))), /`user_id`/)
})

test('a misspelt field is looked for among so many, since each is compared letter by letter', () => {
  const most = limits.compared_fields.value
  const behind = (others: number) =>
    read({ ...Object.fromEntries(Array.from({ length: others }, (_, n) => [`other${n}`, n])), active_user_limit: 3 })
  assert.match(String(reasonOf(behind(most - 1))), /Did you mean `active_users_limit`/)
  assert.deepEqual(behind(most), { fields: {} })
})

test('who prefers strict handling has every unknown field refused, and told in a few lines (RFC 7240)', () => {
  for (const prefer of ['handling=strict', 'respond-async, handling=strict', 'Handling=Strict; x'])
    assert.match(String(reasonOf(read({ dummy: 1 }, prefer))), /"dummy":\["Unknown field\."\]/)
  for (const prefer of ['handling=lenient', 'strict', '']) assert.deepEqual(read({ dummy: 1 }, prefer), { fields: {} })
  const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`${i}${'x'.repeat(70)}`, 0]))
  assert.ok(String(reasonOf(read(many, 'handling=strict'))).length < 2048)
  assert.ok(prefers({ headers: { prefer: 'return=representation' } }, 'return=representation'))
})

test('every wrong field is named', () => {
  const json = { is_expired: 'foo', active_users_limit: -1, minimum_archiving_period: 'x' }
  const reason = JSON.parse(String(reasonOf(read(json))))
  assert.deepEqual(reason, {
    is_expired: ['Not a valid boolean.'],
    active_users_limit: ['Must be between 0 and 2147483647.'],
    minimum_archiving_period: ['Not a valid integer.'],
  })
  assert.deepEqual(JSON.parse(String(reasonOf(readBody(request({}), creation)))), {
    organization_id: ['Missing data for required field.'],
  })
})

test('null is refused, except for a limit, where it means none', () => {
  assert.deepEqual(read({ active_users_limit: null }), { fields: { active_users_limit: null } })
  for (const json of [
    { is_expired: null },
    { minimum_archiving_period: null },
    { user_profile_outsider_allowed: null },
  ])
    assert.match(String(reasonOf(read(json))), /may not be null/)
})

test('booleans may be 0, 1 and their usual spellings; other numbers and texts are refused', () => {
  for (const value of [true, 1, '1', 't', 'T', 'true', 'True', 'TRUE']) takes(bool(), value, true)
  for (const value of [false, 0, '0', 'f', 'F', 'false', 'False', 'FALSE']) takes(bool(), value, false)
  for (const value of [42, 'foo', '', [], {}]) refuses(bool(), value)
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
    for (const schema of [count(), limit()]) takes(schema, given, value)
  for (const value of [-1, '-1', 2 ** 31, 1e300, 'foo', '1.5', '', true, []]) refuses(count(), value)
})

test('ids and addresses are those of the protocol, and what PostgreSQL cannot store is none', () => {
  const { organization_id } = creation.shape
  takes(organization_id, 'Cafe\u0301', 'Caf\u00e9')
  for (const value of ['', 'a b', 'x'.repeat(33), 'a/b', 42, 'a\0', '\ud800']) {
    refuses(organization_id, value)
    refuses(freezing.shape.user_id, value)
  }
  takes(email(), 'cafe\u0301@example.com')
  for (const value of ['a\0@b', '\ud800@b', 42, 'x'.repeat(255)]) refuses(email(), value)
})

test('a field named like a property of every object is an unknown field', () => {
  const body = Buffer.from('{"frozen": true, "__proto__": {"frozen": false}, "constructor": 1}')
  assert.deepEqual(readBody(request(body), freezing), { fields: { frozen: true } })
})
