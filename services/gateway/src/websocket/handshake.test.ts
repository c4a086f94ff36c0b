import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Budget } from '@parsec/shared/budget'
import { admissionOf } from '@parsec/shared/bus/admission'
import { LocalBus } from '@parsec/shared/bus/local'
import { serveInternal } from '@parsec/shared/bus/rpc'
import * as subjects from '@parsec/shared/bus/subjects'
import { type Encodable, encode } from '@parsec/shared/codec/msgpack'
import { DateTime } from '@parsec/shared/codec/values'
import { Unavailable } from '@parsec/shared/errors'
import { AdministrationGuard } from '@parsec/shared/http/administration-guard'
import { readTokens } from '@parsec/shared/http/administration-tokens'
import { createLog } from '@parsec/shared/log'
import type { DeviceFacts, OrganizationFacts } from '@parsec/shared/protocol/internal'
import { EventHub } from '../events/hub.ts'
import { type Judgement, judgeAnswer } from './handshake.ts'

const log = createLog({ level: 'CRITICAL', format: 'CONSOLE', file: null })
const peer = { offer: () => {}, end: () => {}, sendAway: () => {} }
const { signal } = new AbortController()
const caller = { conn_id: 'c', address: '127.0.0.1', release: null, peer, signal }
const challenge = randomBytes(48)
const keys = generateKeyPairSync('ed25519')
const verify_key = Buffer.from(keys.publicKey.export({ format: 'jwk' }).x!, 'base64url')
const signed = (message: Buffer, key = keys.privateKey) => Buffer.concat([sign(null, message, key), message])
const signedMap = (answer: Buffer) => signed(encode({ type: 'signed_answer', answer }))

const rvk = Buffer.alloc(32, 1)
const ORGANIZATION: OrganizationFacts = {
  organization: 1,
  is_bootstrapped: true,
  root_verify_key: rvk,
  is_expired: false,
  is_sequestered: false,
}
const DEVICE: DeviceFacts = {
  user: 1,
  device: 1,
  user_id: 'alice',
  device_id: 'alice@dev1',
  profile: 'ADMIN',
  human_handle: null,
  verify_key,
  revoked_on: null,
  is_frozen: false,
}

/** What becomes of an answer, as `result` or `result: help`. */
async function judged(
  answer: Buffer | { [field: string]: Encodable },
  organization: OrganizationFacts | null = ORGANIZATION,
  device: DeviceFacts | null = DEVICE,
): Promise<string> {
  const verdict = await verdictOn(answer, organization, device)
  return 'accepted' in verdict ? 'ok' : `${verdict.refused.result}: ${verdict.refused.help}`
}
async function verdictOn(
  answer: Buffer | { [field: string]: Encodable },
  organization: OrganizationFacts | null = ORGANIZATION,
  device: DeviceFacts | null = DEVICE,
): Promise<Judgement & { isHeardOf: boolean }> {
  const bus = new LocalBus()
  const handlers = { session_open: async () => ({ organization, device }), organization_expired: async () => ({}) }
  const service = { bus, service: 'metadata', log, admission: admissionOf(1), scope: <C>(call: C) => call } as const
  await serveInternal(service, handlers)
  const hub = new EventHub(bus, log)
  const judge = { bus, hub, log, guard: new AdministrationGuard(readTokens('s3cr3t'), log) }
  const bytes = Buffer.isBuffer(answer) ? answer : encode(answer)
  const verdict = await judgeAnswer(judge, caller, challenge, bytes)
  await nextTurn()
  const isHeardOf = bus.isHeard(subjects.controlEvents('Org'))
  await hub.stop()
  return { ...verdict, isHeardOf }
}
const answerOf = (answer: Buffer, client_api_version: [number, number] = [3, 4], type = 'AUTHENTICATED') => ({
  handshake: 'answer',
  type,
  client_api_version,
  organization_id: 'Org',
  device_id: 'alice@dev1',
  rvk,
  answer,
})

test('what is no answer is refused before anything is looked up (01-wire#2, #3, #15)', async () => {
  for (const byte of [0x00, 0xc1]) assert.match(await judged(Buffer.of(byte)), /^bad_protocol: Invalid msgpack data/)
  assert.match(await judged({}), /^bad_protocol: /)
  assert.equal(
    await judged({ handshake: 'answer', client_api_version: [4, 0] }),
    'bad_protocol: No overlap between client API versions {4.0} and backend API versions {1.3, 2.10, 3.4}',
  )
  assert.match(await judged(answerOf(signed(challenge), [1, 3], 'AUTHENTICATED')), /^bad_protocol: /)
})
test('the announced version selects the form of the signed answer (01-wire#4, #5, #6)', async () => {
  for (const version of [
    [2, 5],
    [3, 0],
    [3, 999],
  ] as const) {
    assert.equal(await judged(answerOf(signedMap(challenge), [...version])), 'ok')
    assert.match(await judged(answerOf(signed(challenge), [...version])), /^bad_protocol: /)
  }
  assert.equal(await judged(answerOf(signed(challenge), [2, 4])), 'ok')
  assert.equal(await judged(answerOf(signed(challenge), [1, 3], 'authenticated')), 'ok')
  assert.match(await judged(answerOf(signedMap(challenge), [2, 4])), /^bad_protocol: /)
})
test('another challenge and another key are told apart (01-wire#7)', async () => {
  assert.equal(await judged(answerOf(signedMap(randomBytes(48)))), 'bad_protocol: Invalid returned challenge')
  const other = generateKeyPairSync('ed25519').privateKey
  assert.equal(await judged(answerOf(signed(challenge, other))), 'bad_protocol: Invalid answer signature')
})
test('the first failing check is the one that is told (01-wire#9, #10, #11, #12)', async () => {
  const answer = answerOf(randomBytes(64))
  const expired = { ...ORGANIZATION, is_expired: true }
  const revoked = { ...DEVICE, revoked_on: DateTime.now(), is_frozen: true }
  const mismatch = { ...expired, root_verify_key: randomBytes(32) }
  assert.match(await judged(answer, null, null), /^bad_identity: Invalid handshake information$/)
  assert.match(await judged(answer, mismatch, null), /^bad_identity: Invalid handshake information$/)
  assert.match(await judged(answer, mismatch, revoked), /^rvk_mismatch: /)
  assert.match(await judged(answer, expired, revoked), /^organization_expired: /)
  assert.match(await judged(answer, ORGANIZATION, revoked), /^revoked_device: /)
  assert.match(await judged(answer, ORGANIZATION, { ...revoked, revoked_on: null }), /^frozen_user: /)
  assert.equal(await judged(answer), 'bad_protocol: Invalid answer signature')
})
test('nobody listens for an organization that does not exist, whoever asks for it', async () => {
  const answer = answerOf(signedMap(challenge))
  assert.equal((await verdictOn(answer, null, null)).isHeardOf, false)
  assert.equal((await verdictOn(answer)).isHeardOf, true)
})
test('the administration token (01-wire §7.4)', async () => {
  const answer = (token: string) => ({ handshake: 'answer', type: 'administration', client_api_version: [1, 3], token })
  assert.equal(await judged(answer('s3cr3t')), 'ok')
  assert.equal(await judged(answer('s3cr3')), 'bad_admin_token: Invalid administration token')
})

test('a refusal says for the log who the client claims to be, as far as that is well-formed', async () => {
  const answer = answerOf(signed(Buffer.from('another challenge')))
  const { organization_id, device_id } = answer
  const claimedBy = async (sent: { [field: string]: Encodable }) => {
    const verdict = await verdictOn(sent)
    return 'refused' in verdict ? verdict.claimed : 'accepted'
  }
  assert.deepEqual(await claimedBy(answer), { client_api_version: '3.4', organization_id, device_id })
  assert.deepEqual(await claimedBy({ ...answer, device_id: 'a\nb' }), { client_api_version: '3.4' })
  assert.deepEqual(await claimedBy({ ...answer, handshake: 'x' }), {})
})

test('nobody works on for a client that leaves while its answer is judged', async () => {
  const bus = new LocalBus()
  const { promise: abandoned, resolve: abandon } = Promise.withResolvers<unknown>()
  const client = new AbortController()
  const isAsked = async ({ budget }: { budget: Budget }): Promise<never> => {
    budget.signal.addEventListener('abort', () => abandon(budget.reason))
    client.abort(new Unavailable('left'))
    return new Promise(() => {})
  }
  const service = { bus, service: 'metadata', log, admission: admissionOf(1), scope: <C>(call: C) => call } as const
  await serveInternal(service, { session_open: isAsked, session_open_invited: isAsked, organization_find: isAsked })
  const hub = new EventHub(bus, log)
  const judge = { bus, hub, log, guard: new AdministrationGuard(readTokens('s3cr3t'), log) }
  const answer = encode(answerOf(signedMap(challenge)))
  await assert.rejects(judgeAnswer(judge, { ...caller, signal: client.signal }, challenge, answer), /left/)
  assert.ok((await abandoned) instanceof Unavailable)
  assert.equal(hub.organization('Org')?.users.size, 0)
  await hub.stop()
})
