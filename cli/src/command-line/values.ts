/**
 * The types of option values (spec 06 §2.3): each turns text into a value or throws an `Error` whose message completes
 * `Invalid value for '--option': `.
 */
import { accessSync, constants, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { parseStores } from '@parsec/blockstore/stores/config'
import { type StoreConfig, secretsOfStore } from '@parsec/blockstore/stores/registry'
import type { BackendAddr, HttpConfig } from '@parsec/shared/config'
import {
  type AdministrationToken,
  onlyToken,
  readTokens,
  secretsOfTokens,
} from '@parsec/shared/http/administration-tokens'
import { trustOf } from '@parsec/shared/http/client-address'
import { secretsOfUrl } from '@parsec/shared/postgres/url'
import { MAX_PORT, words } from './argv.ts'

export type ValueType<T> = {
  /** Stands for the value in help texts. */
  readonly metavar: string
  /** `file`: where the text was read from. */
  parse(text: string, file?: string): T
  /** Given by a type whose option may be repeated: all texts are one value. */
  parseAll?(texts: readonly string[]): T
  /** What of the value of a secret option must be in no report; absent: all of it. */
  secrets?(value: T): readonly string[]
}

export const TEXT: ValueType<string> = { metavar: 'TEXT', parse: text => text }

/**
 * The administration token, or a file with several. A byte order mark and the line end of a file are no part of a token;
 * what a header cannot carry as it is would be refused for ever.
 */
export const TOKENS: ValueType<TokenSource> = {
  metavar: 'TEXT',
  parse(text, file) {
    const read = text.replace(/^\uFEFF/, '').replace(/[\r\n]+$/, '')
    tokensOf({ text: read, file: file ?? null })
    return { text: read, file: file ?? null }
  },
  secrets: ({ text }) => secretsOfTokens(text),
}
export type TokenSource = { readonly text: string; readonly file: string | null }
/** Only a file may name several. Throws a plain `Error`. */
export const tokensOf = ({ text, file }: TokenSource): AdministrationToken[] =>
  file === null ? [onlyToken(text)] : readTokens(text)

/** Decimal digits of any script, a sign, single underscores between digits, blanks around. */
export const INT: ValueType<number> = {
  metavar: 'INTEGER',
  parse(text) {
    const ascii = asciiDigits(text.trim())
    if (!/^[+-]?\d+(_\d+)*$/.test(ascii)) throw new Error(`'${text}' is not a valid integer.`)
    return Number(ascii.replaceAll('_', ''))
  },
}

/** A number of processes, or as many as the machine has processor cores for us. */
export const WORKERS: ValueType<number> = {
  metavar: 'INTEGER|auto',
  parse: text => (text.trim().toLowerCase() === 'auto' ? availableParallelism() : INT.parse(text)),
}

export const FLOAT: ValueType<number> = {
  metavar: 'FLOAT',
  parse(text) {
    const ascii = asciiDigits(text.trim()).toLowerCase()
    const special = /^([+-]?)(?:(inf(?:inity)?)|nan)$/.exec(ascii)
    if (special) return special[2] ? Number(`${special[1]}Infinity`) : Number.NaN
    if (!/^[+-]?(\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)(e[+-]?\d+(_\d+)*)?$/.test(ascii))
      throw new Error(`'${text}' is not a valid float.`)
    return Number(ascii.replaceAll('_', ''))
  },
}

const TRUE = new Set(['true', 't', '1', 'yes', 'y', 'on'])
const FALSE = new Set(['false', 'f', '0', 'no', 'n', 'off'])
export const BOOL: ValueType<boolean> = {
  metavar: 'BOOLEAN',
  parse(text) {
    const word = text.trim().toLowerCase()
    if (TRUE.has(word)) return true
    if (FALSE.has(word)) return false
    throw new Error(`'${text}' is not a valid boolean.`)
  },
}

/** One of a list, in any case of letters. */
export function choice<const T extends string>(choices: readonly T[]): ValueType<T> {
  return {
    metavar: `[${choices.join('|')}]`,
    parse(text) {
      const chosen = choices.find(c => c.toLowerCase() === text.toLowerCase())
      if (chosen === undefined) throw new Error(`'${text}' is not one of ${choices.map(c => `'${c}'`).join(', ')}.`)
      return chosen
    },
  }
}

/** Several of a list, separated by commas; at least one, each once, in the order of the list. */
export function choices<const T extends string>(list: readonly T[]): ValueType<readonly T[]> {
  const one = choice(list)
  return {
    metavar: 'LIST',
    parse(text) {
      const chosen = new Set(text.split(',').map(part => one.parse(part.trim())))
      return list.filter(c => chosen.has(c))
    },
  }
}

/** Path of an existing, readable file. */
export const FILE: ValueType<string> = {
  metavar: 'FILE',
  parse(text) {
    const entry = statSync(text, { throwIfNoEntry: false })
    if (!entry) throw new Error(`File '${text}' does not exist.`)
    if (entry.isDirectory()) throw new Error(`File '${text}' is a directory.`)
    try {
      accessSync(text, constants.R_OK)
    } catch {
      throw new Error(`File '${text}' is not readable.`)
    }
    return text
  },
}

/** `parsec://hostname[:port][/][?no_ssl=true|false]` (spec 06 §3.2); the raw value ends the message. */
export const ADDR: ValueType<BackendAddr> = {
  metavar: 'ADDRESS',
  parse(text) {
    const refuse = (): never => {
      throw new Error(`must look like parsec://hostname[:port][?no_ssl=true], not ${text}`)
    }
    const match = /^parsec:\/\/(\[[0-9a-f:.]+\]|[^\s/?#@:[\]]+)(?::(\d*))?\/?(?:\?(.*))?$/iu.exec(text.trim())
    if (!match) return refuse()
    const [, hostname = '', portText = '', query = ''] = match
    const noSsl: string[] = []
    for (const pair of query === '' ? [] : query.split('&')) {
      const equals = pair.indexOf('=')
      if (equals < 0) return refuse()
      if (pair.slice(0, equals) === 'no_ssl') noSsl.push(pair.slice(equals + 1).toLowerCase())
    }
    if (noSsl.length > 1 || (noSsl[0] !== undefined && noSsl[0] !== 'true' && noSsl[0] !== 'false')) return refuse()
    const useTls = noSsl[0] !== 'true'
    const port = portText === '' ? defaultPort(useTls) : Number(portText)
    if (port > MAX_PORT) return refuse()
    return { hostname: hostname.toLowerCase(), port, useTls }
  },
}
const defaultPort = (useTls: boolean) => (useTls ? 443 : 80)

/** The canonical print of an address: no default port, `no_ssl` only without TLS. */
export function formatAddr({ hostname, port, useTls }: BackendAddr): string {
  const host = hostname.includes(':') && !hostname.startsWith('[') ? `[${hostname}]` : hostname
  return `parsec://${host}${port === defaultPort(useTls) ? '' : `:${port}`}${useTls ? '' : '?no_ssl=true'}`
}

/** `<header>:<value>`; the name is case-insensitive, blanks around both are ignored. */
export const FORWARDED_PROTO: ValueType<NonNullable<HttpConfig['forwardProtoEnforceHttps']>> = {
  metavar: 'HEADER:VALUE',
  parse(text) {
    const parts = text.split(':').map(part => part.trim())
    const [header = '', value = ''] = parts
    if (parts.length !== 2 || header === '') throw new Error('Invalid format, should be `<header-name>:<header-value>`')
    return { header: header.toLowerCase(), value }
  },
}

/** IP addresses and networks, separated by commas or blanks. */
export const NETWORKS: ValueType<readonly string[]> = {
  metavar: 'NETWORKS',
  parse(text) {
    const networks = text.split(/[\s,]+/).filter(part => part !== '')
    trustOf(networks)
    return networks
  },
}

/** Block stores (spec 06 §4): all values of the option together. */
export const BLOCKSTORE: ValueType<StoreConfig> = {
  metavar: 'STORE',
  parse: text => parseStores(words(text)),
  parseAll: texts => parseStores([...texts]),
  secrets: secretsOfStore,
}

/** `MOCKED` in any case, or a URL, which is judged when the server starts. */
export const DATABASE: ValueType<string> = {
  metavar: 'URL',
  parse: text => (text.toUpperCase() === 'MOCKED' ? 'MOCKED' : text),
  secrets: secretsOfUrl,
}

/** Addresses of NATS servers, separated by commas. The message never repeats them, for they may hold a password. */
export const NATS_URL: ValueType<string> = {
  metavar: 'URL',
  parse(text) {
    const isServer = (part: string) => /^(?:nats|tls):$/.test(URL.parse(part.trim())?.protocol ?? '')
    if (text.trim() === '' || !text.split(',').every(isServer))
      throw new Error('must look like nats://[user:password@]host[:port], several separated by commas.')
    return text
  },
  // Passwords, or tokens, which stand alone.
  secrets: text =>
    text.split(',').flatMap(url => [...secretsOfUrl(url), /:\/\/([^/:@]+)@/.exec(url)?.[1] ?? []].flat()),
}

/** Of HTTP; the errors never repeat it, for it may hold a password. */
export const HTTP_URL: ValueType<URL> = {
  metavar: 'URL',
  parse(text) {
    const url = URL.parse(text.trim())
    if (!url || !/^https?:$/.test(url.protocol)) throw new Error('must look like http[s]://host[:port][/path].')
    return url
  },
  secrets: ({ href }) => secretsOfUrl(href),
}

export const RATIO: ValueType<number> = {
  metavar: 'FLOAT',
  parse(text) {
    const ratio = FLOAT.parse(text)
    if (!(ratio >= 0 && ratio <= 1)) throw new Error(`${text} is not in the range 0<=x<=1.`)
    return ratio
  },
}

/** What subjects of NATS begin with: tokens joined by dots. */
export const SUBJECT_PREFIX: ValueType<string> = {
  metavar: 'TEXT',
  parse(text) {
    if (!/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(text))
      throw new Error('must consist of letters, digits, `_` and `-`, with dots in between.')
    return text
  },
}

/** A PostgreSQL URL. */
export const POSTGRESQL_URL: ValueType<string> = {
  metavar: 'URL',
  parse(text) {
    if (!/^postgres(ql)?:\/\//.test(text)) throw new Error('Must start with `postgresql://` or `postgres://`')
    return text
  },
  secrets: secretsOfUrl,
}

/** Decimal digits of other scripts as ASCII: blocks of ten, each from zero to nine. */
function asciiDigits(text: string): string {
  return text.replace(/\p{Nd}/gu, digit => {
    let zero = digit.codePointAt(0)!
    while (/^\p{Nd}$/u.test(String.fromCodePoint(zero - 1))) zero--
    return String((digit.codePointAt(0)! - zero) % 10)
  })
}
