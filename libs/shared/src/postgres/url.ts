/**
 * What a database URL means (spec 06 §8.2): as libpq understands it, with every other parameter a setting of the session.
 * What is not in the URL comes from libpq's variables, its password file, and the system. No piece of a secret is ever
 * part of a message.
 */
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { DATABASE_CONNECT_MS, LONGEST_SECONDS } from '../deadlines.ts'
import { OperatorError } from '../errors.ts'
import { type Host, SESSION_ATTRIBUTES, SSL_MODES, type Target, type TlsFiles } from './target.ts'

export type Environment = { readonly [name: string]: string | undefined }

/** A parameter of the URL: the variable that stands in for it, and what operators must know of it. */
export type Parameter = { readonly variable?: string; readonly meaning: string }

/** Those with a meaning of their own, for the documentation as well. */
export const parameters = {
  host: {
    variable: 'PGHOST',
    meaning:
      'Instead of the one before the path: a name, an address, or the folder of a UNIX socket. Several are separated by commas and tried in order',
  },
  port: { variable: 'PGPORT', meaning: 'One for all hosts, or as many as hosts (5432)' },
  user: { variable: 'PGUSER', meaning: 'Role (name of the operating system’s user)' },
  password: { variable: 'PGPASSWORD', meaning: 'Its password' },
  dbname: { variable: 'PGDATABASE', meaning: 'Database (name of the role)' },
  database: { meaning: 'The same' },
  passfile: {
    variable: 'PGPASSFILE',
    meaning:
      'File with passwords, `host:port:database:user:password` in each line, not accessible to others (`~/.pgpass`)',
  },
  sslmode: {
    variable: 'PGSSLMODE',
    meaning:
      '`disable`, `allow`, `prefer` (default: TLS if the server offers it), `require` (TLS, certificate not checked), `verify-ca` (checked), `verify-full` (checked, with the name). UNIX sockets are never encrypted',
  },
  sslrootcert: {
    variable: 'PGSSLROOTCERT',
    meaning:
      'File of the authorities that `verify-ca` and `verify-full` trust, `system` for well-known ones (default). With it `require` means `verify-ca`',
  },
  sslcert: { variable: 'PGSSLCERT', meaning: 'File of the client’s certificate' },
  sslkey: { variable: 'PGSSLKEY', meaning: 'File of its key' },
  sslpassword: { meaning: 'Password of that key' },
  sslcrl: { variable: 'PGSSLCRL', meaning: 'File of revoked certificates' },
  ssl_min_protocol_version: { variable: 'PGSSLMINPROTOCOLVERSION', meaning: '`TLSv1.2` (default) or `TLSv1.3`' },
  ssl_max_protocol_version: { variable: 'PGSSLMAXPROTOCOLVERSION', meaning: '`TLSv1.2` or `TLSv1.3`' },
  target_session_attrs: {
    variable: 'PGTARGETSESSIONATTRS',
    meaning:
      'Which of several hosts will do: `any` (default), `read-write` or `primary`, `read-only` or `standby`, `prefer-standby`',
  },
  connect_timeout: { variable: 'PGCONNECT_TIMEOUT', meaning: 'Seconds for one host (4)' },
  application_name: { variable: 'PGAPPNAME', meaning: 'How the server’s statistics call the connection (`parsec`)' },
  fallback_application_name: { meaning: 'The same, when nothing else gives it' },
  options: {
    variable: 'PGOPTIONS',
    meaning: 'Command line of the server process, for example `-c search_path=parsec`',
  },
  keepalives: { meaning: '`0`: the kernel does not ask whether the other side is there' },
  keepalives_idle: { meaning: 'Seconds of silence before it asks (10)' },
  client_encoding: { variable: 'PGCLIENTENCODING', meaning: '`UTF8`, `utf-8` or `auto`: there is no other' },
} as const satisfies { readonly [name: string]: Parameter }

/** Parameters of libpq that mean something this program cannot do; with these values they ask for nothing. */
const WITHOUT_EFFECT: { readonly [name: string]: readonly string[] } = {
  gssencmode: ['disable', 'prefer'],
  channel_binding: ['disable', 'prefer'],
  sslcompression: ['0'],
  sslsni: ['1'],
  sslnegotiation: ['postgres'],
  sslcertmode: ['allow'],
  load_balance_hosts: ['disable'],
  replication: ['false', 'off', 'no', '0'],
}
const NOT_SUPPORTED = new Set([
  'hostaddr',
  'service',
  'servicefile',
  'requirepeer',
  'require_auth',
  'krbsrvname',
  'gsslib',
  'gssdelegation',
  'sslcrldir',
  'min_protocol_version',
  'max_protocol_version',
])
/** The kernel's own figures hold for these. */
const IGNORED = new Set(['keepalives_interval', 'keepalives_count'])

const SOCKET_FOLDERS = ['/run/postgresql', '/var/run/postgresql', '/tmp', '/private/tmp']
const DEFAULT_PORT = 5432
const KEEP_ALIVE_SECONDS = 10
const ENCODE =
  'characters of user and password other than letters, digits and -._~ must be percent-encoded (/ as %2F, # as %23, ? as %3F, @ as %40, : as %3A, % as %25)'

/** Throws an `OperatorError` that names the parameter, never a secret. */
export function readDatabaseUrl(url: string, environment: Environment = {}): Target {
  const { user, password, hosts, database, given } = split(url)
  const value = (name: keyof typeof parameters): string | undefined => {
    const { variable } = parameters[name] as Parameter
    return given.get(name) || (variable && environment[variable]) || undefined
  }
  const choice = <T extends string>(name: keyof typeof parameters, choices: readonly T[], byDefault: T): T => {
    const text = value(name) ?? byDefault
    return choices.find(one => one === text) ?? refuse(`${name} must be one of ${choices.join(', ')}, not ${text}`)
  }
  const seconds = (name: keyof typeof parameters, byDefault: number): number => {
    const text = value(name)
    if (text === undefined) return byDefault
    return /^\d{1,9}$/.test(text)
      ? Math.min(Number(text), LONGEST_SECONDS)
      : refuse(`${name} must be a whole number of seconds, not ${text}`)
  }
  const settings = sessionSettings(given)
  const encoding = value('client_encoding')
  if (encoding !== undefined && !/^(utf-?8|auto)$/i.test(encoding))
    refuse(`client_encoding must be UTF8, not ${encoding}`)

  const role = user ?? value('user') ?? systemUser() ?? refuse('no user is given')
  const name = database ?? value('dbname') ?? value('database') ?? role
  const secret = password ?? value('password')
  const home = environment['HOME']
  const passwordFile = secret === undefined ? (value('passfile') ?? (home && join(home, '.pgpass'))) : undefined
  const connectSeconds = seconds('connect_timeout', DATABASE_CONNECT_MS / 1000)
  const options = value('options')
  return {
    hosts: hostsOf(given.get('host') ?? (hosts || undefined) ?? environment['PGHOST'], given, environment),
    user: role,
    database: name,
    ...(secret !== undefined && { password: secret }),
    ...(passwordFile && { passwordFile }),
    sslMode: choice('sslmode', SSL_MODES, 'prefer'),
    tls: tlsFiles(value),
    sessionAttributes: choice('target_session_attrs', SESSION_ATTRIBUTES, 'any'),
    // As with libpq, 0 is no limit, and 1 is 2. Nothing here waits without a limit.
    connectMs: (connectSeconds === 0 ? DATABASE_CONNECT_MS / 1000 : Math.max(connectSeconds, 2)) * 1000,
    keepAliveSeconds:
      value('keepalives') === '0' ? null : seconds('keepalives_idle', KEEP_ALIVE_SECONDS) || KEEP_ALIVE_SECONDS,
    applicationName: value('application_name') ?? value('fallback_application_name') ?? 'parsec',
    ...(options !== undefined && { options }),
    settings,
  }
}

/** Secrets that the URL holds, as they are written and as they are meant, for whoever must not tell them. */
export function secretsOfUrl(url: string): string[] {
  const written = [/:\/\/[^/@]*?:([^/]*)@/, /[?&](?:password|sslpassword)=([^&]*)/].flatMap(
    pattern => pattern.exec(url)?.[1] || [],
  )
  return [...new Set(written.flatMap(secret => [secret, decoded(secret) ?? secret]))]
}

type Parts = {
  user: string | undefined
  password: string | undefined
  hosts: string
  database: string | undefined
  given: ReadonlyMap<string, string>
}

function split(url: string): Parts {
  const scheme = /^([^:]*):\/\//.exec(url)?.[1]
  if (scheme !== 'postgresql' && scheme !== 'postgres')
    refuseDsn(
      `scheme is expected to be either "postgresql" or "postgres", got '${scheme ?? (/^[a-z]*(?=:)/.exec(url)?.[0] || '')}'`,
    )
  const rest = url.slice(scheme!.length + 3)
  if (rest.includes('#')) refuseDsn(`# has no meaning in it; ${ENCODE}`)
  const [, authority, path, query] = /^([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s.exec(rest)!
  const at = authority!.split('@')
  // An @ that comes too late: what should be the password ended before it.
  if (at.length > 2 || (at.length === 1 && /@/.test(path ?? ''))) refuseDsn(ENCODE)
  const login = at.length === 2 ? at[0]! : ''
  const hosts = at.at(-1)!
  if (login.split(':').length > 2) refuseDsn(ENCODE)
  const [user, password] = login.split(':').map(decode)
  return {
    user: user || undefined,
    password: password || undefined,
    hosts,
    database: decode(path ?? '') || undefined,
    given: queryOf(query ?? ''),
  }
}

function queryOf(query: string): Map<string, string> {
  const given = new Map<string, string>()
  for (const pair of query.split('&').filter(pair => pair !== '')) {
    const end = pair.indexOf('=')
    if (end < 1) refuseDsn(`a parameter is not of the form name=value; ${ENCODE}`)
    const name = decode(pair.slice(0, end))
    if (name === 'sslmode' && given.has(name)) refuseDsn('sslmode is given twice')
    given.set(name, decode(pair.slice(end + 1)))
  }
  return given
}

function sessionSettings(given: ReadonlyMap<string, string>): { [name: string]: string } {
  const settings: { [name: string]: string } = {}
  for (const [name, value] of given) {
    if (name in parameters || IGNORED.has(name)) continue
    if (NOT_SUPPORTED.has(name) || (name in WITHOUT_EFFECT && !WITHOUT_EFFECT[name]!.includes(value)))
      refuse(`parameter ${name}=${value} of the URL is not supported`)
    if (name in WITHOUT_EFFECT) continue
    if (!/^[a-z_][a-z0-9_.]*$/i.test(name)) refuse(`${JSON.stringify(name)} is no parameter of a database URL`)
    settings[name] = value
  }
  return settings
}

function hostsOf(text: string | undefined, given: ReadonlyMap<string, string>, environment: Environment): Host[] {
  const ports = (given.get('port') || environment['PGPORT'] || '').split(',')
  if (!text) {
    const port = portOf(ports[0]!)
    return [...SOCKET_FOLDERS, 'localhost'].map(host => ({ host, port }))
  }
  const hosts = text.split(',').map(one => {
    const [, bracketed, plain, port] =
      /^(?:\[([^\]]*)\]|([^:]*|\/.*))(?::([^:]*))?$/.exec(one) ?? refuseDsn(`a host cannot be read; ${ENCODE}`)
    return { host: decode(bracketed ?? plain ?? ''), port }
  })
  if (ports.length > 1 && ports.length !== hosts.length)
    refuse(`there are ${hosts.length} hosts, but ${ports.length} ports`)
  return hosts.map(({ host, port }, i) => ({
    host: host || 'localhost',
    port: portOf(port || (ports.length > 1 ? ports[i]! : ports[0]!)),
  }))
}
function portOf(text: string): number {
  const port = text === '' ? DEFAULT_PORT : Number(text)
  return Number.isInteger(port) && port > 0 && port < 65_536
    ? port
    : refuseDsn(`a port must be between 1 and 65535; ${ENCODE}`)
}

function tlsFiles(value: (name: keyof typeof parameters) => string | undefined): TlsFiles {
  const version = (name: 'ssl_min_protocol_version' | 'ssl_max_protocol_version') => {
    const text = value(name)
    if (text !== undefined && !/^TLSv1\.[23]$/.test(text)) refuse(`${name} must be TLSv1.2 or TLSv1.3, not ${text}`)
    return text
  }
  const files = {
    rootCertificate: value('sslrootcert'),
    certificate: value('sslcert'),
    key: value('sslkey'),
    keyPassword: value('sslpassword'),
    revocations: value('sslcrl'),
    minVersion: version('ssl_min_protocol_version'),
    maxVersion: version('ssl_max_protocol_version'),
  }
  return Object.fromEntries(Object.entries(files).filter(([, file]) => file !== undefined)) as TlsFiles
}

function systemUser(): string | undefined {
  try {
    return userInfo().username
  } catch {
    // A user id without a name, as containers have them.
    return undefined
  }
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
const decode = (text: string): string => decoded(text) ?? refuseDsn(ENCODE)

function refuse(reason: string): never {
  throw new OperatorError(`--db: ${reason}`)
}
function refuseDsn(reason: string): never {
  throw new OperatorError(`invalid DSN: ${reason}`)
}
