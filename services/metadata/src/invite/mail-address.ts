/** Addresses as SMTP and the headers of a mail carry them: ASCII, international domains in their ASCII form. */

import { domainToASCII } from 'node:url'
import { withoutBrackets } from '@parsec/shared/http/netloc'

/** Whether SMTP and a header can carry an address as it is. */
export const isPlainAddress = (address: string): boolean => /^[!-~]+$/.test(address) && !/[<>]/.test(address)

/** Who sends: the address for the envelope, and the header as given when it is ASCII, else empty. */
export type Sender = { address: string; name: string; header: string }

/** Reads a sender like `Name <address>` or `address`; undefined when no mail can be sent by it. */
export function senderOf(text: string): Sender | undefined {
  const [, name = '', given = text.trim()] = /^\s*([^<>]*?)\s*<([^<>]*)>\s*$/.exec(text) ?? []
  const address = asciiAddress(given)
  if (address === undefined || /[\r\n\0]/.test(text)) return undefined
  const isPlain = /^[ -~]*$/.test(text)
  return { address, name: name.replace(/^"(.*)"$/, '$1'), header: isPlain ? text : '' }
}

/** One `local@domain` whose domain may be international; undefined when it is none. */
function asciiAddress(address: string): string | undefined {
  const [, local, domain] = /^([^@\s]+)@([^@\s]+)$/.exec(address) ?? []
  if (local === undefined || domain === undefined) return undefined
  const ascii = /^\[.*\]$/.test(domain) ? domain : domainToASCII(domain)
  const whole = `${local}@${ascii}`
  return ascii !== '' && isPlainAddress(whole) && !/[()",:;]/.test(whole) ? whole : undefined
}

/** How a server names itself to others (RFC 5321 §4.1.3): a domain, or an address in brackets. */
export function hostLiteral(hostname: string): string {
  const bare = withoutBrackets(hostname)
  if (bare.includes(':')) return `[IPv6:${bare}]`
  return /^[\d.]+$/.test(bare) ? `[${bare}]` : domainToASCII(bare) || 'localhost'
}
