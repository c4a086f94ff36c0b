/** Links and headers of invitation mails (spec 04 §10.3, §11). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DateTime, Uuid } from '@parsec/shared/codec/values'
import { hostLiteral, senderOf } from './mail-address.ts'
import { composeMail, type InvitationMail, invitationUrl } from './mail-template.ts'

const token = Uuid.parse('0123456789abcdef0123456789abcdef')!
const TLS = { hostname: 'parsec.example.com', port: 443, useTls: true }

const MAIL: InvitationMail = {
  type: 'USER',
  organization_id: 'Org',
  token,
  greeter: { user_id: 'alice', human_handle: ['alice@example.com', 'Alice'] },
  to: 'zack@example.com',
}
const compose = (
  mail: InvitationMail,
  { sender = 'Parsec <no-reply@example.com>', language = 'en' as 'en' | 'fr' } = {},
) => composeMail(mail, { addr: TLS, sender: senderOf(sender)!, language }, new DateTime(1_700_000_000_123_456))
const headOf = (mail: InvitationMail, options?: { sender?: string }): string =>
  compose(mail, options).split('\r\n\r\n')[0]!

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
    const head = headOf({ ...MAIL, greeter })
    const names = head.split(/\r\n(?! )/).map(line => line.split(':')[0])
    const after = ['Date', 'Message-ID']
    assert.deepEqual(names, ['Content-Type', 'MIME-Version', 'Subject', 'From', 'To', 'Reply-To', ...after])
    assert.match(head, /^[\r\n -~]*$/)
    for (const word of head.match(/=\?[^?]*\?b\?[^?]*\?=/g) ?? []) assert.ok(word.length <= 75, word)
  }
})

test('a mail has a date and a name of its own (04-invite §10.3)', () => {
  const heads = [headOf(MAIL), headOf(MAIL)]
  for (const head of heads) assert.match(head, /^Date: Tue, 14 Nov 2023 22:13:20 \+0000$/m)
  const names = heads.map(head => /^Message-ID: <([0-9a-f]{32})@parsec\.example\.com>$/m.exec(head)?.[1])
  assert.ok(names[0] && names[1] && names[0] !== names[1])
})

test('French texts are French in every kind of invitation, subject and both parts (04-invite §10.3)', () => {
  const textOf = (mail: InvitationMail, language: 'en' | 'fr') => {
    const [head, plain, html] = compose(mail, { language }).split(/^--=_.*\r\n/m)
    const decode = (part: string) => {
      const [fields, text] = part.split('\r\n\r\n', 2) as [string, string]
      const body = part.slice(fields.length + 4)
      return /base64/.test(fields) ? Buffer.from(text, 'base64').toString() : body
    }
    return { head: head!, plain: decode(plain!), html: decode(html!) }
  }
  for (const type of ['USER', 'DEVICE', 'SHAMIR_RECOVERY'] as const) {
    const [en, fr] = (['en', 'fr'] as const).map(language => textOf({ ...MAIL, type }, language))
    assert.match(en!.plain, /Once Parsec is installed/)
    assert.match(fr!.plain, /Une fois Parsec installé/)
    assert.match(fr!.html, /lang="fr"[\s\S]*Télécharger Parsec[\s\S]*Ouvrir l’invitation/)
    const subject = /^Subject: (.*(?:\r\n .*)*)$/m
    assert.notEqual(subject.exec(en!.head)?.[1], subject.exec(fr!.head)?.[1])
    for (const { plain, html } of [en!, fr!])
      for (const text of [plain, html]) assert.ok(text.includes(token.hex) && text.includes('Org'))
  }
})

test('the sender of the envelope is the address of the header, in ASCII (04-invite §10.1)', () => {
  const senders = [
    ['Parsec <no-reply@example.com>', 'no-reply@example.com', 'Parsec <no-reply@example.com>'],
    ['no-reply@example.com', 'no-reply@example.com', 'no-reply@example.com'],
    ['"Parsec, Inc." <a@b.c>', 'a@b.c', '"Parsec, Inc." <a@b.c>'],
    ['a@[127.0.0.1]', 'a@[127.0.0.1]', 'a@[127.0.0.1]'],
    ['no-reply@bücher.example', 'no-reply@xn--bcher-kva.example', 'no-reply@xn--bcher-kva.example'],
    ['Parsec <a@bücher.example>', 'a@xn--bcher-kva.example', 'Parsec <a@xn--bcher-kva.example>'],
    ['Bücher <a@b.c>', 'a@b.c', `=?utf-8?b?${Buffer.from('Bücher').toString('base64')}?= <a@b.c>`],
  ] as const
  for (const [sender, address, header] of senders) {
    assert.equal(senderOf(sender)?.address, address, sender)
    assert.equal(/^From: (.*)$/m.exec(headOf(MAIL, { sender }))?.[1], header)
  }
})

test('what is no sender is told at the start', () => {
  for (const sender of [
    '',
    'Parsec',
    'a@',
    '@b.c',
    'a@b@c',
    'a b@c.d',
    'é@b.c',
    'x <a@b.c',
    'a@b.c\r\nBcc: e@f.g',
    'A <a@b.c>, B <d@e.f>',
  ])
    assert.equal(senderOf(sender), undefined, sender)
})

test('a server greets by its public name', () => {
  for (const [hostname, name] of [
    ['parsec.example.com', 'parsec.example.com'],
    ['bücher.example', 'xn--bcher-kva.example'],
    ['127.0.0.1', '[127.0.0.1]'],
    ['::1', '[IPv6:::1]'],
    ['[::1]', '[IPv6:::1]'],
    ['', 'localhost'],
  ] as const)
    assert.equal(hostLiteral(hostname), name)
})
