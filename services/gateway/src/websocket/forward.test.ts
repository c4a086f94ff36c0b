import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encode } from '@parsec/shared/codec/msgpack'
import { fieldsAtFault, GENERIC_REPLIES, readMessage, statusOf } from './forward.ts'

test('a message names a command of its kind and era, or none (01-wire §8.1)', () => {
  const read = (message: Buffer, major = 3) => readMessage(message, 'authenticated', major)
  assert.equal(read(encode({ cmd: 'ping', ping: 'x' })).spec?.name, 'ping')
  assert.equal(read(encode({ cmd: 'user_create' }), 1).spec?.name, 'v1_user_create')
  for (const message of [{}, { cmd: 42 }, { cmd: 'no_such' }, { cmd: 'organization_create' }])
    assert.deepEqual(read(encode(message)), { spec: undefined, status: 'unknown_command' })
})
test('what is no map, or more than a map, is undecodable (01-wire §2.2)', () => {
  const ping = encode({ cmd: 'ping', ping: 'x' })
  for (const message of [Buffer.alloc(0), Buffer.from([0xc1]), encode([]), Buffer.concat([ping, Buffer.from([0])])])
    assert.deepEqual(readMessage(message, 'authenticated', 3), { spec: undefined, status: 'invalid_msg_format' })
})
test('the status of a reply is read without decoding it', () => {
  assert.equal(statusOf(GENERIC_REPLIES.unknown_command), 'unknown_command')
  assert.equal(statusOf(encode({ status: 'ok', blob: Buffer.alloc(1000) })), 'ok')
  const wide = Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`field${n}`, n]))
  assert.equal(statusOf(encode({ status: 'bad_timestamp', ...wide })), 'bad_timestamp')
  for (const other of [Buffer.alloc(0), encode({}), encode({ pong: 'x', status: 'ok' }), encode({ status: 1 })])
    assert.equal(statusOf(other), '?')
})

test('of a bad_message the log learns the fields, and nothing of what was in them', () => {
  const reply = encode({
    status: 'bad_message',
    reason: 'Invalid message.',
    errors: new Map([['ping', ['Not a text: x']]]),
  })
  assert.deepEqual(fieldsAtFault(reply, 'bad_message'), { fields: ['ping'] })
  assert.deepEqual(fieldsAtFault(encode({ status: 'bad_message', reason: 'x' }), 'bad_message'), {})
  assert.deepEqual(fieldsAtFault(encode({ status: 'ok' }), 'ok'), {})
})
