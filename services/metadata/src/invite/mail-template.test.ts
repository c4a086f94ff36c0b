/** Links and headers of invitation mails (spec 04 §10.3, §11). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Uuid } from '@parsec/shared/codec/values'
import { addressOf, composeMail, invitationUrl } from './mail-template.ts'

const token = Uuid.parse('0123456789abcdef0123456789abcdef')!
const TLS = { hostname: 'parsec.example.com', port: 443, useTls: true }

test('a link names action and token, omits the usual port, and never says no_ssl (04-invite §11)', () => {
  const url = (addr: typeof TLS, type: 'USER' | 'DEVICE' | 'SHAMIR_RECOVERY', organization_id = 'Org') =>
    invitationUrl(addr, { type, organization_id, token })
  assert.equal(url(TLS, 'USER'), `https://parsec.example.com/redirect/Org?action=claim_user&token=${token}`)
  assert.equal(
    url({ ...TLS, port: 80, useTls: false }, 'DEVICE', 'Été').split('?')[0],
    'http://parsec.example.com/redirect/%C3%89t%C3%A9',
  )
  assert.match(
    url({ hostname: '::1', port: 6777, useTls: false }, 'SHAMIR_RECOVERY'),
    /^http:\/\/\[::1\]:6777\/.*action=claim_shamir_recovery&/,
  )
})

test('names never break out of a header, whatever they hold (04-invite §10.3)', () => {
  for (const label of [
    'Alice',
    'Ælfrēd',
    'a\r\nBcc: evil@example.com',
    '=?utf-8?q?x?=',
    'ü'.repeat(127),
    '🦊'.repeat(60),
  ]) {
    const greeter = { user_id: 'alice', human_handle: ['alice@example.com', label] as const }
    const mail = { type: 'USER', organization_id: 'Org', token, greeter, to: 'zack@example.com' } as const
    const head = composeMail(mail, TLS, 'Parsec <no-reply@example.com>').split('\r\n\r\n')[0]!
    const names = head.split(/\r\n(?! )/).map(line => line.split(':')[0])
    assert.deepEqual(names, ['Content-Type', 'MIME-Version', 'Subject', 'From', 'To', 'Reply-To'])
    assert.match(head, /^[\r\n -~]*$/)
    for (const word of head.match(/=\?[^?]*\?b\?[^?]*\?=/g) ?? []) assert.ok(word.length <= 75, word)
  }
})

test('the sender of the envelope is the address of the header (04-invite §10.1)', () => {
  assert.equal(addressOf('Parsec <no-reply@example.com>'), 'no-reply@example.com')
  assert.equal(addressOf('no-reply@example.com'), 'no-reply@example.com')
})
