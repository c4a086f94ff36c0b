/**
 * Tokens of the administration API: one secret that may do everything, or named ones with scopes, one a line. What is kept
 * is their SHA-256: tokens are random, so nothing slower is needed.
 */
import { createHash } from 'node:crypto'
import { limits } from '../limits.ts'

export const SCOPES = ['read', 'write'] as const
export type Scope = (typeof SCOPES)[number]
export type AdministrationToken = { readonly name: string; readonly scopes: readonly Scope[]; readonly sha256: Buffer }

export const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest()

/** What the log calls the token of somebody who has but one. */
const ONLY = 'token'
const LINE = /^([\w.-]{1,64})\s+(\S+)\s+(\S+)$/
const HASH = /^sha256:([0-9a-f]{64})$/i

/**
 * Reads `NAME SCOPES SECRET` a line, where `SECRET` is the token or `sha256:` with its hash, or a text that is one token.
 * Two lines may have one name: the old token and the new one. Throws a plain `Error` that names the line.
 */
export function readTokens(text: string): AdministrationToken[] {
  const used = usedLines(text)
  if (used.length === 0) throw new Error('must not be empty.')
  const [only] = used
  if (used.length === 1 && only && !isNamed(only[1])) return [onlyToken(only[1])]
  if (used.length > limits.administration_tokens.value)
    throw new Error(`has more than ${limits.administration_tokens.value} tokens.`)
  return used.map(([at, line]) => named(line.trim(), at + 1))
}

const isScopes = (text: string): boolean => text.split(',').every(scope => SCOPES.includes(scope as Scope))
/** The parts of a line of this form. */
const partsOf = (line: string) => {
  const [, name, scopes, secret] = LINE.exec(line.trim()) ?? []
  return name && scopes && secret ? { name, scopes, secret } : undefined
}
/** A file with one line may as well be a token with spaces. */
function isNamed(line: string): boolean {
  const parts = partsOf(line)
  return parts !== undefined && isScopes(parts.scopes)
}

/** A token that may do everything. Throws a plain `Error`. */
export function onlyToken(token: string): AdministrationToken {
  if (token === '') throw new Error('must not be empty.')
  if (!/^[ -~]+$/.test(token)) throw new Error('must consist of ASCII letters, digits and signs.')
  if (token.trim() !== token) throw new Error('must not begin or end with a space.')
  return { name: ONLY, scopes: SCOPES, sha256: sha256(token) }
}

function named(line: string, number: number): AdministrationToken {
  const parts = partsOf(line)
  if (!parts) throw new Error(`line ${number} is not like 'NAME read,write TOKEN'.`)
  const { name, scopes, secret } = parts
  if (!isScopes(scopes)) throw new Error(`line ${number}: the scopes are 'read', 'write' or 'read,write'.`)
  if (!/^[!-~]+$/.test(secret)) throw new Error(`line ${number}: a token consists of ASCII letters, digits and signs.`)
  const [, hex] = HASH.exec(secret) ?? []
  if (!hex && secret.startsWith('sha256:')) throw new Error(`line ${number}: 'sha256:' has 64 hexadecimal digits.`)
  // Whoever may change things sees what they have become.
  const given = SCOPES.filter(scope => scope === 'read' || scopes.split(',').includes(scope))
  return { name, scopes: given, sha256: hex ? Buffer.from(hex, 'hex') : sha256(secret) }
}

/** The tokens themselves, as far as the text has them: secrets that no report may hold. */
export const secretsOfTokens = (text: string): string[] =>
  usedLines(text)
    .map(([, line]) => (isNamed(line) ? partsOf(line)!.secret : line))
    .filter(secret => !HASH.test(secret))

/** With their numbers; a line may be empty or a remark. */
const usedLines = (text: string): [at: number, line: string][] =>
  [
    ...text
      .replace(/^\uFEFF/, '')
      .split(/\r\n|[\r\n]/)
      .entries(),
  ].filter(([, line]) => !/^\s*(?:#.*)?$/.test(line))
