/** What a request may not exceed, whoever sends it; the answer to what exceeds it is short. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parse } from '../codec/fields.ts'
import { decode, type Encodable, encode } from '../codec/msgpack.ts'
import { DateTime, Uuid } from '../codec/values.ts'
import { answerSchema } from './handshake.ts'
import { commands } from './registry.ts'

type Name = keyof typeof commands
const errorsOf = (name: Name, request: Encodable): Encodable => {
  const parsed = parse<unknown>(commands[name].request as never, decode(encode(request)))
  return parsed.ok ? null : parsed.errors
}
const takes = (name: Name, request: Encodable) => assert.equal(errorsOf(name, request), null)
/** The only thing wrong with a request is the length of `field`. */
const tooLong = (name: Name, request: Encodable, field: string, max: number) =>
  assert.deepEqual(errorsOf(name, request), new Map([[field, [`Longer than maximum length ${max}.`]]]))

const realm_id = Uuid.random()
const timestamp = new DateTime(0)
const bytes = (length: number) => Buffer.alloc(length)

describe('texts', () => {
  test('a text to search for has at most 254 bytes (03-users §4.5, §6.2)', () => {
    for (const name of ['human_find', 'user_find'] as const) {
      takes(name, { query: 'é'.repeat(127) })
      tooLong(name, { query: `${'é'.repeat(127)}a` }, 'query', 254)
      tooLong(name, { query: 'x'.repeat(1_000_000) }, 'query', 254)
    }
  })

  test('tokens have at most 254 and 4096 bytes', () => {
    const certificates = { user_certificate: bytes(1), device_certificate: bytes(1), root_verify_key: bytes(32) }
    takes('v1_organization_bootstrap', { bootstrap_token: 'x'.repeat(254), ...certificates })
    tooLong('v1_organization_bootstrap', { bootstrap_token: 'x'.repeat(255), ...certificates }, 'bootstrap_token', 254)
    const redacted = { redacted_user_certificate: bytes(1), redacted_device_certificate: bytes(1) }
    const request = { ...certificates, ...redacted, bootstrap_token: 'x'.repeat(255) }
    tooLong('organization_bootstrap', request, 'bootstrap_token', 254)
    const { schema } = answerSchema(1, 'administration')!
    for (const [length, ok] of [
      [4096, true],
      [4097, false],
    ] as const)
      assert.equal(parse<unknown>(schema as never, { token: 'x'.repeat(length) }).ok, ok)
  })

  test('a ping has at most 65 536 bytes', () => {
    takes('ping', { ping: 'x'.repeat(65_536) })
    tooLong('ping', { ping: 'x'.repeat(65_537) }, 'ping', 65_536)
  })

  test('an invited address has at most 255 characters, of any size (04-invite §4.1)', () => {
    const request = (claimer_email: string) => ({ type: 'USER', send_email: false, claimer_email })
    takes('invite_new', request('😀'.repeat(255)))
    for (const email of ['😀'.repeat(256), 'x'.repeat(1_000_000), ''])
      assert.notEqual(errorsOf('invite_new', request(email)), null)
  })
})

describe('messages for inboxes', () => {
  test('messages for inboxes have at most 65 536 bytes', () => {
    const share = (length: number) => ({ role_certificate: bytes(1), recipient_message: bytes(length) })
    takes('realm_update_roles', share(65_536))
    tooLong('realm_update_roles', share(65_537), 'recipient_message', 65_536)
    const start = (length: number) => ({
      realm_id,
      encryption_revision: 2,
      timestamp,
      per_participant_message: { alice: bytes(length) },
    })
    takes('realm_start_reencryption_maintenance', start(65_536))
    assert.notEqual(errorsOf('realm_start_reencryption_maintenance', start(65_537)), null)
  })
})

describe('enrollments', () => {
  test('what an enrollment consists of has at most 65 536 bytes each (03-users §7.3)', () => {
    const fields = { submitter_der_x509_certificate: 65_536, submit_payload_signature: 65_536, submit_payload: 16_384 }
    const most = Object.fromEntries(Object.entries(fields).map(([field, max]) => [field, bytes(max)]))
    const request = { enrollment_id: realm_id, force: false, submitter_der_x509_certificate_email: null, ...most }
    takes('pki_enrollment_submit', request)
    for (const [field, max] of Object.entries(fields))
      tooLong('pki_enrollment_submit', { ...request, [field]: bytes(max + 1) }, field, max)
    const submitter_der_x509_certificate_email = 'x'.repeat(255)
    const email = 'submitter_der_x509_certificate_email'
    tooLong('pki_enrollment_submit', { ...request, submitter_der_x509_certificate_email }, email, 254)
  })
})

describe('lists and maps', () => {
  const ids = (count: number) => Array.from({ length: count }, () => Uuid.random())
  const users = (count: number) => ids(count).map(id => [id.hex, bytes(1)] as const)
  const batch = (count: number) => ids(count).map(vlob_id => ({ vlob_id, version: 1, blob: bytes(1) }))
  const cases: readonly {
    name: Name
    max: number
    field: string
    request: (count: number) => { [field: string]: Encodable }
  }[] = [
    {
      name: 'realm_start_reencryption_maintenance',
      max: 10_000,
      field: 'per_participant_message',
      request: n => ({
        realm_id,
        encryption_revision: 2,
        timestamp,
        per_participant_message: Object.fromEntries(users(n)),
      }),
    },
    {
      name: 'vlob_maintenance_save_reencryption_batch',
      max: 1000,
      field: 'batch',
      request: n => ({ realm_id, encryption_revision: 2, batch: batch(n) }),
    },
    {
      name: 'vlob_create',
      max: 1000,
      field: 'sequester_blob',
      request: n => ({
        realm_id,
        encryption_revision: 1,
        vlob_id: realm_id,
        timestamp,
        blob: bytes(1),
        sequester_blob: new Map(ids(n).map(id => [id, bytes(1)])),
      }),
    },
  ]

  test('lists and maps are counted before they are looked into', () => {
    for (const { name, max, field, request } of cases) {
      takes(name, request(max))
      tooLong(name, request(max + 1), field, max)
      // However wrong the items are, only their number is told.
      const wrong = request(0)
      wrong[field] = Array.isArray(wrong[field]) ? Array(60_000).fill(0) : new Map(ids(max + 1).map(id => [id, 0]))
      tooLong(name, wrong, field, max)
    }
    const setup = (count: number) => ({
      setup: {
        ciphered_data: bytes(1),
        reveal_token: realm_id,
        brief: bytes(1),
        shares: Array.from({ length: count }, () => bytes(1)),
      },
    })
    takes('shamir_recovery_setup', setup(1000))
    assert.notEqual(errorsOf('shamir_recovery_setup', setup(1001)), null)
    const size = (n: number) => ({ realm_id, encryption_revision: 2, size: n })
    takes('vlob_maintenance_get_reencryption_batch', size(1000))
    assert.notEqual(errorsOf('vlob_maintenance_get_reencryption_batch', size(1001)), null)
  })

  test('what is wrong with every entry of a batch is told in a few lines', () => {
    const entries = Array.from({ length: 1000 }, () => ({}))
    const errors = errorsOf('vlob_maintenance_save_reencryption_batch', {
      realm_id,
      encryption_revision: 2,
      batch: entries,
    })
    assert.ok(encode(errors).length < 2048)
  })
})
