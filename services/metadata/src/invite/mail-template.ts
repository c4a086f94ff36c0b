/** The text of an invitation mail, ready for SMTP (spec 04 §10.3), and the links in it (spec 04 §11). */
import { randomBytes } from 'node:crypto'
import type { HumanHandle } from '@parsec/shared/codec/fields'
import { type DateTime, Uuid } from '@parsec/shared/codec/values'
import type { BackendAddr } from '@parsec/shared/config'
import { netloc } from '@parsec/shared/http/netloc'
import type { InvitationType, OrganizationID, UserID } from '@parsec/shared/protocol/types'
import { hostLiteral, isPlainAddress, type Sender } from './mail-address.ts'
import { type Language, LINKS, WORDS, type Words } from './mail-words.ts'

export type InvitationMail = {
  type: InvitationType
  organization_id: OrganizationID
  token: Uuid
  greeter: { user_id: UserID; human_handle: HumanHandle | null }
  to: string
}

const ACTIONS = { USER: 'claim_user', DEVICE: 'claim_device', SHAMIR_RECOVERY: 'claim_shamir_recovery' } as const
const DOWNLOAD = 'https://parsec.cloud/get-parsec'
const DOCUMENTATION = 'https://docs.parsec.cloud'

/** `http(s)://host[:port]` of the server, without a final slash. */
const baseUrl = (addr: BackendAddr): string => `${addr.useTls ? 'https' : 'http'}://${netloc(addr)}`

export const invitationUrl = (
  addr: BackendAddr,
  { type, organization_id, token }: Pick<InvitationMail, 'type' | 'organization_id' | 'token'>,
): string =>
  `${baseUrl(addr)}/redirect/${encodeURIComponent(organization_id)}?action=${ACTIONS[type]}&token=${token.hex}`

/** What all mails of a server have in common. */
export type Letterhead = { addr: BackendAddr; sender: Sender; language: Language }

/** Header and body, lines ended by CRLF, ASCII throughout. `mail.to` must be a plain address. */
export function composeMail(mail: InvitationMail, { addr, sender, language }: Letterhead, now: DateTime): string {
  const { type, organization_id, greeter, to } = mail
  const name = oneLine(greeter.human_handle?.[1] ?? greeter.user_id)
  const url = invitationUrl(addr, mail)
  const words = WORDS[language][type](name, organization_id)
  const boundary = `=_${randomBytes(16).toString('hex')}`
  const [email, label] = greeter.human_handle ?? []
  const replies = type !== 'DEVICE' && email !== undefined && label !== undefined && isPlainAddress(email)
  return [
    `Content-Type: multipart/alternative; boundary="${boundary}"`,
    'MIME-Version: 1.0',
    ...addressLines(sender, words.subject, to),
    ...(replies ? [`Reply-To: ${encodedWords(label)} <${email}>`] : []),
    ...markLines(addr, now),
    '',
    `--${boundary}`,
    ...part('plain', plainBody(words, LINKS[language], url)),
    `--${boundary}`,
    ...part('html', htmlBody(words, language, url, `${baseUrl(addr)}/static/parsec-vert.png`)),
    `--${boundary}--`,
    '',
  ].join('\r\n')
}

/** For administrators who want to know whether mails arrive. */
export const composeTestMail = (to: string, { addr, sender }: Letterhead, now: DateTime): string =>
  [
    ...addressLines(sender, '[Parsec] Test mail', to),
    ...markLines(addr, now),
    ...part('plain', `This is a test mail of the Parsec server ${baseUrl(addr)}.\r\n\r\nIts mails arrive.\r\n`),
    '',
  ].join('\r\n')

/** Lines that every mail has, and between which it may have another one. */
const addressLines = (sender: Sender, subject: string, to: string): string[] => [
  `Subject: ${headerText(subject)}`,
  `From: ${fromHeader(sender)}`,
  `To: ${to}`,
]
const markLines = (addr: BackendAddr, now: DateTime): string[] => [
  `Date: ${mailDate(now)}`,
  `Message-ID: <${Uuid.random()}@${hostLiteral(addr.hostname)}>`,
]

/** An instant as RFC 5322 §3.3 wants it. */
const mailDate = (now: DateTime): string => new Date(now.seconds * 1000).toUTCString().replace('GMT', '+0000')

const plainBody = ({ invited, opening, next }: Words, links: (typeof LINKS)[Language], url: string): string =>
  [
    invited,
    '',
    links.getIt(DOWNLOAD),
    '',
    opening,
    '',
    url,
    '',
    next,
    '',
    `${links.documentation}: ${DOCUMENTATION}`,
    '',
  ].join('\r\n')

const htmlBody = ({ subject, invited, opening, next }: Words, language: Language, url: string, logo: string): string =>
  [
    '<!DOCTYPE html>',
    `<html lang="${language}">`,
    `<head><meta charset="utf-8"><title>${escapeHtml(subject)}</title></head>`,
    '<body style="font-family: sans-serif; max-width: 40em; margin: 2em auto; color: #1c2b3a">',
    `<p><img src="${escapeHtml(logo)}" alt="Parsec" width="64" height="64"></p>`,
    `<p>${escapeHtml(invited)}</p>`,
    `<p><a href="${DOWNLOAD}">${LINKS[language].download}</a></p>`,
    `<p>${escapeHtml(opening)}</p>`,
    `<p><a href="${escapeHtml(url)}">${LINKS[language].open}</a></p>`,
    `<p>${escapeHtml(next)}</p>`,
    `<p><a href="${DOCUMENTATION}">${LINKS[language].documentation}</a></p>`,
    '</body>',
    '</html>',
    '',
  ].join('\r\n')

const ENTITIES: { readonly [character: string]: string } = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}
const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, character => ENTITIES[character]!)
/** Names may have line breaks; nothing here may. */
const oneLine = (text: string): string => text.replace(/[\s\p{Cc}]+/gu, ' ').trim()

function part(subtype: 'plain' | 'html', text: string): string[] {
  const isAscii = /^[\r\n\t -~]*$/.test(text)
  return [
    `Content-Type: text/${subtype}; charset="${isAscii ? 'us-ascii' : 'utf-8'}"`,
    'MIME-Version: 1.0',
    `Content-Transfer-Encoding: ${isAscii ? '7bit' : 'base64'}`,
    '',
    isAscii
      ? text
      : Buffer.from(text)
          .toString('base64')
          .replace(/.{1,76}/g, '$&\r\n'),
  ]
}

/** Text of a header: as it is, or as encoded words. */
const headerText = (text: string): string => (/^[ -~]*$/.test(text) && !text.includes('=?') ? text : encodedWords(text))
const fromHeader = ({ header, name, address }: Sender): string =>
  header || (name === '' ? address : `${headerText(name)} <${address}>`)

/** Bytes of text in one encoded word: at most 75 characters with its frame (RFC 2047 §2). */
const ENCODED_WORD_BYTES = 45
function encodedWords(text: string): string {
  const words: string[] = []
  let word = ''
  for (const character of text.toWellFormed()) {
    if (Buffer.byteLength(word + character) > ENCODED_WORD_BYTES) {
      words.push(word)
      word = ''
    }
    word += character
  }
  words.push(word)
  return words.map(w => `=?utf-8?b?${Buffer.from(w).toString('base64')}?=`).join('\r\n ')
}
