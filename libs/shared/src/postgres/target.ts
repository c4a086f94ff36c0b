/** Which PostgreSQL to use, and how: what a database URL means (spec 06 §8.2), once everything around it is known. */

/** `host` is a folder of UNIX sockets when it begins with `/`. */
export type Host = { readonly host: string; readonly port: number }

export const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const
export type SslMode = (typeof SSL_MODES)[number]
export const SESSION_ATTRIBUTES = ['any', 'read-write', 'read-only', 'primary', 'standby', 'prefer-standby'] as const
export type SessionAttributes = (typeof SESSION_ATTRIBUTES)[number]

/** Files are read for each connection, so renewed ones count. */
export type TlsFiles = {
  /** `system`: the authorities that come with the runtime. */
  readonly rootCertificate?: string
  readonly certificate?: string
  readonly key?: string
  readonly keyPassword?: string
  readonly revocations?: string
  readonly minVersion?: string
  readonly maxVersion?: string
}

export type Target = {
  /** Tried in order. */
  readonly hosts: readonly Host[]
  readonly user: string
  readonly database: string
  readonly password?: string
  readonly passwordFile?: string
  readonly sslMode: SslMode
  readonly tls: TlsFiles
  readonly sessionAttributes: SessionAttributes
  readonly connectMs: number
  /** Seconds of silence before the kernel asks whether the other side is there; null: never. */
  readonly keepAliveSeconds: number | null
  readonly applicationName: string
  /** Command line of the server process, `-c name=value …`. */
  readonly options?: string
  /** Session settings, after our own. */
  readonly settings: { readonly [name: string]: string }
  /** PGlite: it knows no cancel request, and all its connections are one session. */
  readonly embedded?: true
}

/** ` host:port/name` for messages. */
export const placeOf = ({ hosts, database }: Target): string =>
  `${hosts.map(({ host, port }) => (host.startsWith('/') ? host : `${host.includes(':') ? `[${host}]` : host}:${port}`)).join(',')}/${database}`
