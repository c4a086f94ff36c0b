import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apiVersions, authorOf, HTTP_API_VERSIONS_TEXT, invitationTokenOf, isMsgpack, signatureOf } from './auth.ts'

const base64 = (text: string) => Buffer.from(text).toString('base64')

test('majors 2 and 3 are served whatever the revision; no header is 3.0 (02-organization-http §8.2)', () => {
  assert.equal(HTTP_API_VERSIONS_TEXT, '2.10;3.4')
  assert.deepEqual(apiVersions({ 'api-version': '3.99' }), { client: [3, 99], server: [3, 4] })
  assert.deepEqual(apiVersions({ 'api-version': '2.0' }), { client: [2, 0], server: [2, 10] })
  assert.deepEqual(apiVersions({}), { client: [3, 0], server: [3, 4] })
  for (const version of ['', '3', '1.3', '4.0', '3.0.0', '-3.0', '3.x', 'dummy'])
    assert.equal(apiVersions({ 'api-version': version }), undefined, version)
})
test('the content type is msgpack, exactly, or a form (02-organization-http#45)', () => {
  for (const type of ['application/msgpack', 'application/x-www-form-urlencoded'])
    assert.ok(isMsgpack({ 'content-type': type }))
  for (const type of ['application/json', 'APPLICATION/MSGPACK', 'application/msgpack; charset=utf-8'])
    assert.ok(!isMsgpack({ 'content-type': type }))
  assert.ok(!isMsgpack({}))
})
test('the author is a device id in base64 (02-organization-http#46)', () => {
  assert.equal(authorOf({ author: base64('alice@dev1') }), 'alice@dev1')
  for (const author of [
    '',
    'alice@dev1',
    base64('alice'),
    `${base64('alice@dev1')}=`,
    base64('alice@dev1@x'),
    '//4=',
  ].concat(Buffer.from('al\xefce@dev1', 'latin1').toString('base64')))
    assert.equal(authorOf({ author }), undefined, author)
  assert.equal(authorOf({}), undefined)
})
test('a signature counts with its method only (02-organization-http#46)', () => {
  const signature = Buffer.alloc(64, 7).toString('base64')
  assert.deepEqual(signatureOf({ authorization: 'PARSEC-SIGN-ED25519', signature }), Buffer.alloc(64, 7))
  for (const authorization of ['parsec-sign-ed25519', 'Bearer x'])
    assert.equal(signatureOf({ authorization, signature }), undefined)
  assert.equal(signatureOf({ authorization: 'PARSEC-SIGN-ED25519', signature: 'é!' }), undefined)
})
test('an invitation token is a UUID in hex (02-organization-http#48)', () => {
  const hex = '00112233445566778899aabbccddeeff'
  assert.equal(invitationTokenOf({ 'invitation-token': hex })?.hex, hex)
  for (const bad of ['', 'garbage', hex.slice(1), `${hex}00`])
    assert.equal(invitationTokenOf({ 'invitation-token': bad }), undefined)
})
