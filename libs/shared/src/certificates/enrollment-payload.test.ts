import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deflateSync } from 'node:zlib'
import { type Encodable, encode } from '../codec/msgpack.ts'
import { payloadFlaw } from './enrollment-payload.ts'

const key = Buffer.alloc(32, 1)
const submit: { [field: string]: Encodable } = {
  type: 'pki_enrollment_submit_payload',
  verify_key: key,
  public_key: key,
  requested_device_label: 'laptop',
}
const answer: { [field: string]: Encodable } = {
  type: 'pki_enrollment_answer_payload',
  device_id: 'bob@dev1',
  device_label: 'laptop',
  human_handle: ['bob@example.com', 'Bob'],
  profile: 'STANDARD',
  root_verify_key: key,
}
const pack = (fields: { [field: string]: Encodable }) => deflateSync(encode(fields))

test('payloads of both types decode; unknown fields are ignored (03-users §7.1)', () => {
  assert.equal(payloadFlaw('pki_enrollment_submit_payload', pack({ ...submit, more: 1 })), undefined)
  assert.equal(payloadFlaw('pki_enrollment_answer_payload', pack({ ...answer, more: 1 })), undefined)
})

test('an answer may have neither label nor handle, as nil or absent (03-users §7.1)', () => {
  const { device_label: _, human_handle: __, ...short } = answer
  assert.equal(payloadFlaw('pki_enrollment_answer_payload', pack(short)), undefined)
  const nil = pack({ ...answer, device_label: null, human_handle: null })
  assert.equal(payloadFlaw('pki_enrollment_answer_payload', nil), undefined)
})

test('what does not decode is named (03-users §7.1)', () => {
  for (const bytes of [Buffer.alloc(0), Buffer.from('x'), encode(submit), deflateSync(encode([1]))])
    assert.match(payloadFlaw('pki_enrollment_submit_payload', bytes)!, /not a compressed msgpack map/)
  for (const [field, value] of [
    ['type', 'pki_enrollment_answer_payload'],
    ['verify_key', Buffer.alloc(31)],
    ['public_key', null],
    ['requested_device_label', ''],
    ['requested_device_label', 'x'.repeat(256)],
  ] as const)
    assert.equal(
      payloadFlaw('pki_enrollment_submit_payload', pack({ ...submit, [field]: value })),
      `Invalid payload data (${field}).`,
    )
  for (const [field, value] of [
    ['type', 'pki_enrollment_submit_payload'],
    ['device_id', 'bob'],
    ['device_label', 3],
    ['human_handle', ['bob@example.com']],
    ['profile', 'GUEST'],
    ['root_verify_key', null],
  ] as const)
    assert.equal(
      payloadFlaw('pki_enrollment_answer_payload', pack({ ...answer, [field]: value })),
      `Invalid payload data (${field}).`,
    )
})
