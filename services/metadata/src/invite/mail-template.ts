/** The text of an invitation mail, ready for SMTP (spec 04 §10.3), and the links in it (spec 04 §11). */
import { randomBytes } from 'node:crypto'
import type { HumanHandle } from '@parsec/shared/codec/fields'
import type { Uuid } from '@parsec/shared/codec/values'
import type { BackendAddr } from '@parsec/shared/config'
import type { InvitationType, OrganizationID, UserID } from '@parsec/shared/protocol/types'

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
export function baseUrl({ hostname, port, useTls }: BackendAddr): string {
  const host = hostname.includes(':') && !hostname.startsWith('[') ? `[${hostname}]` : hostname
  return `${useTls ? 'https' : 'http'}://${host}${port === (useTls ? 443 : 80) ? '' : `:${port}`}`
}

export const invitationUrl = (
  addr: BackendAddr,
  { type, organization_id, token }: Pick<InvitationMail, 'type' | 'organization_id' | 'token'>,
): string =>
  `${baseUrl(addr)}/redirect/${encodeURIComponent(organization_id)}?action=${ACTIONS[type]}&token=${token.hex}`

/** Header and body, lines ended by CRLF, ASCII throughout. `mail.to` must be a plain address. */
export function composeMail(mail: InvitationMail, addr: BackendAddr, sender: string): string {
  const { type, organization_id, greeter, to } = mail
  const name = oneLine(greeter.human_handle?.[1] ?? greeter.user_id)
  const url = invitationUrl(addr, mail)
  const words = WORDS[type](name, organization_id)
  const boundary = `=_${randomBytes(16).toString('hex')}`
  const [email, label] = greeter.human_handle ?? []
  const replies = type !== 'DEVICE' && email !== undefined && label !== undefined && isPlainAddress(email)
  return [
    `Content-Type: multipart/alternative; boundary="${boundary}"`,
    'MIME-Version: 1.0',
    `Subject: ${headerText(words.subject)}`,
    `From: ${headerAddress(sender)}`,
    `To: ${to}`,
    ...(replies ? [`Reply-To: ${encodedWords(label)} <${email}>`] : []),
    '',
    `--${boundary}`,
    ...part('plain', plainBody(words, url)),
    `--${boundary}`,
    ...part('html', htmlBody(words, url, `${baseUrl(addr)}/static/parsec-vert.png`)),
    `--${boundary}--`,
    '',
  ].join('\r\n')
}

/** Whether SMTP and a header can carry an address as it is. */
export const isPlainAddress = (address: string): boolean => /^[!-~]+$/.test(address) && !/[<>]/.test(address)

/** The address in a sender like `Name <address>`. */
export const addressOf = (sender: string): string => /<([^<>]*)>\s*$/.exec(sender)?.[1] ?? sender.trim()

type Words = { subject: string; invited: string; opening: string; next: string }
const WORDS: { readonly [T in InvitationType]: (name: string, organization_id: OrganizationID) => Words } = {
  USER: (name, organization_id) => ({
    subject: `[Parsec] ${name} invited you to ${organization_id}`,
    invited: `${name} has invited you to join the organization ${organization_id} on Parsec.`,
    opening: 'Once Parsec is installed, open this link to accept the invitation:',
    next: `Then stay in touch with ${name}, by telephone for example: both of you must be connected at the same time, and compare a few symbols to be sure of each other.`,
  }),
  DEVICE: (_, organization_id) => ({
    subject: `[Parsec] New device invitation to ${organization_id}`,
    invited: `You have received an invitation to add a new device to the organization ${organization_id} on Parsec.`,
    opening: 'Once Parsec is installed on the new device, open this link there:',
    next: 'Keep a device that you already use at hand: both must be connected at the same time, and show the same few symbols.',
  }),
  SHAMIR_RECOVERY: (name, organization_id) => ({
    subject: `[Parsec] Recovery invitation to ${organization_id}`,
    invited: `${name} has invited you to recover your access to the organization ${organization_id} on Parsec.`,
    opening: 'Once Parsec is installed, open this link to start the recovery:',
    next: 'Then ask the people who hold a share of your recovery, one by one, to help you.',
  }),
}

const plainBody = ({ invited, opening, next }: Words, url: string): string =>
  [
    invited,
    '',
    `Parsec can be downloaded from ${DOWNLOAD}`,
    '',
    opening,
    '',
    url,
    '',
    next,
    '',
    `Documentation: ${DOCUMENTATION}`,
    '',
  ].join('\r\n')

const htmlBody = ({ subject, invited, opening, next }: Words, url: string, logo: string): string =>
  [
    '<!DOCTYPE html>',
    '<html lang="en">',
    `<head><meta charset="utf-8"><title>${escapeHtml(subject)}</title></head>`,
    '<body style="font-family: sans-serif; max-width: 40em; margin: 2em auto; color: #1c2b3a">',
    `<p><img src="${escapeHtml(logo)}" alt="Parsec" width="64" height="64"></p>`,
    `<p>${escapeHtml(invited)}</p>`,
    `<p><a href="${DOWNLOAD}">Download Parsec</a></p>`,
    `<p>${escapeHtml(opening)}</p>`,
    `<p><a href="${escapeHtml(url)}">Open the invitation</a></p>`,
    `<p>${escapeHtml(next)}</p>`,
    `<p><a href="${DOCUMENTATION}">Documentation</a></p>`,
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
function headerAddress(sender: string): string {
  if (/^[ -~]*$/.test(sender)) return sender
  const name = /^(.*?)\s*<[^<>]*>\s*$/s.exec(sender)?.[1]
  return name ? `${encodedWords(name)} <${addressOf(sender)}>` : addressOf(sender)
}

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
