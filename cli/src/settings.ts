/**
 * From option values to what each service is told. What cannot work is refused here, by name of the option, before
 * anything is contacted; the result is frozen.
 */
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import type { NetworkOptions } from '@parsec/blockstore/stores/network'
import { usesDatabase as isInDatabase, type StoreConfig, usesMemory } from '@parsec/blockstore/stores/registry'
import { senderOf } from '@parsec/metadata/invite/mail-address'
import type { BackendAddr, DatabaseConfig, HttpConfig, MailConfig } from '@parsec/shared/config'
import { LONGEST_SECONDS } from '@parsec/shared/deadlines'
import { OperatorError } from '@parsec/shared/errors'
import { type AdministrationToken, readTokens } from '@parsec/shared/http/administration-tokens'
import type { LogOptions } from '@parsec/shared/log'
import { readDatabaseUrl } from '@parsec/shared/postgres/url'
import { SERVICE_NAMES, type ServiceName } from '@parsec/shared/protocol/command'
import { type Environment, MAX_PORT } from './command-line/argv.ts'
import { type Option, secretsOf } from './command-line/option.ts'
import { UsageError, usageLines } from './command-line/output.ts'
import { label } from './command-line/read.ts'
import { tokensOf } from './command-line/values.ts'
import { DEFAULT_MAX_CONNECTIONS, type MigrateValues, type RunValues, runOptions } from './options.ts'
import { proxyVariables } from './server/proxy.ts'
import { needs, type ServiceSettings, startOrder } from './server/services.ts'
import { placeOf, type WorkerPlace } from './server/worker-place.ts'

export type NatsSettings = {
  url: string
  credsFile: string | null
  tls: { ca: string; cert?: string; key?: string } | null
  subjectPrefix: string
}
export type SentrySettings = {
  dsn: string
  environment: string
  services: readonly ServiceName[]
  /** Values that must not be in a report. */
  secrets: readonly string[]
}
export type TraceSettings = {
  /** Where messages are posted. */
  url: string
  authorization: string | null
  sampleRatio: number
}
/** Private key and certificate chain, PEM. */
export type TlsFiles = NonNullable<HttpConfig['tls']>

export type ServerSettings = ServiceSettings & {
  /** In the order of their start. */
  readonly services: readonly ServiceName[]
  readonly everyService: boolean
  /** More than one: this process watches them, unless it has a place among them. */
  readonly workers: number
  readonly place: WorkerPlace | null
  readonly nats: NatsSettings | null
  readonly log: LogOptions
  readonly sentry: SentrySettings | null
  readonly traces: TraceSettings | null
  readonly debug: boolean
  /** Everything is in memory, for a trial. */
  readonly dev: boolean
  readonly drainMs: number
  readonly monitor: { readonly host: string; readonly port: number } | null
  /** Null where no service of the process needs it. */
  readonly database: DatabaseConfig | null
  readonly store: StoreConfig | null
  readonly mail: MailConfig | null
  readonly backendAddr: BackendAddr | null
  readonly http: HttpConfig | null
  /** Given wherever a service asks for it. */
  readonly administrationTokens: readonly AdministrationToken[] | null
  /** Reads their file anew, if they came from one. */
  readonly readAdministrationTokens: () => readonly AdministrationToken[]
  /** Reads the TLS files anew, for a renewed certificate. */
  readonly readTls: () => TlsFiles | null
}

/** Throws `OperatorError`. */
export function serverSettings(values: RunValues, environment: Environment): ServerSettings {
  const chosen = new Set<ServiceName>(values.services ?? SERVICE_NAMES)
  refuseWhatCannotWork(values, chosen)
  const place = placeOf(environment)
  const services = startOrder(chosen)
  const readTls = () => tlsFiles(values.sslKeyfile, values.sslCertfile)
  const tls = needs(services, 'http') ? readTls() : null
  const database = needs(services, 'database') && values.db !== undefined ? runDatabase(values, environment) : null
  const mail = chosen.has('metadata') ? mailConfig(values) : null
  const backendAddr = needs(services, 'address')
    ? (values.backendAddr ?? {
        hostname: bracketed(values.host) || 'localhost',
        port: values.port,
        useTls: tls !== null,
      })
    : null
  return deepFreeze({
    services,
    everyService: isEveryService(chosen),
    workers: values.workers,
    place,
    nats: natsSettings(values),
    log: { ...logOptions(values), isShared: values.workers > 1 },
    sentry: sentrySettings(values, services),
    traces: values.otelEndpoint ? traceSettings(values.otelEndpoint, values.otelSampleRatio) : null,
    debug: values.debug,
    dev: values.dev,
    drainMs: Math.min(values.drainSeconds, LONGEST_SECONDS) * 1_000,
    monitor:
      values.monitorPort === undefined ? null : { host: values.monitorHost ?? values.host, port: values.monitorPort },
    database,
    store: chosen.has('blockstore') ? values.blockstore! : null,
    mail,
    backendAddr,
    http: needs(services, 'http') ? httpConfig(values, tls, place) : null,
    gateway: chosen.has('gateway')
      ? {
          debug: values.debug,
          backendAddr: backendAddr!,
          sseKeepaliveSeconds: Math.min(values.sseKeepalive, LONGEST_SECONDS),
        }
      : null,
    metadata: chosen.has('metadata')
      ? { database: database!, backendAddr: backendAddr!, mail, ...organizationSettings(values) }
      : null,
    blockstore: chosen.has('blockstore')
      ? {
          store: values.blockstore!,
          database: database ?? { kind: 'MOCKED' },
          raidDegradedWrites: values.raidDegradedWrites,
        }
      : null,
    administrationTokens: values.administrationToken ? tokensOf(values.administrationToken) : null,
    readAdministrationTokens: () => readTokensAgain(values.administrationToken),
    network: networkOptions(environment),
    readTls,
  })
}

const isEveryService = (chosen: ReadonlySet<ServiceName>): boolean => chosen.size === SERVICE_NAMES.length

/** What the options say together, or no value of theirs may be; in the order in which it is told. */
function refuseWhatCannotWork(values: RunValues, chosen: ReadonlySet<ServiceName>): void {
  if (!isEveryService(chosen) && !values.natsUrl)
    refuseUsage(
      "Option '--services' with fewer than all services needs '--nats-url': the others run elsewhere and are reached over NATS.",
    )
  if (values.db === undefined && values.blockstore && isInDatabase(values.blockstore))
    refuseUsage("Missing option '--db': --blockstore=POSTGRESQL keeps blocks in that database.")
  checkWorkers(values)
  checkPort(runOptions.port, values.port)
  checkPort(runOptions.monitorPort, values.monitorPort)
  checkPort(runOptions.emailPort, values.emailPort)
  if (values.maxConnections !== undefined && !(values.maxConnections > 0))
    throw new OperatorError(`--max-connections must be greater than 0, not ${values.maxConnections}`)
  if (!(values.drainSeconds >= 0 && values.drainSeconds < Infinity))
    throw new OperatorError(`--drain-seconds must be 0 or more, not ${values.drainSeconds}`)
}

const sentrySettings = (values: RunValues, services: readonly ServiceName[]): ServerSettings['sentry'] =>
  values.sentryDsn
    ? {
        dsn: values.sentryDsn,
        environment: values.sentryEnvironment,
        services,
        secrets: secretsOf(values, runOptions),
      }
    : null

const httpConfig = (values: RunValues, tls: TlsFiles | null, place: WorkerPlace | null): HttpConfig => ({
  host: values.host,
  port: place?.port ?? values.port,
  isShared: place !== null,
  debug: values.debug,
  tls,
  forwardProtoEnforceHttps: values.forwardProtoEnforceHttps ?? null,
  trustedProxies: values.trustedProxies,
  maxConnections: values.maxConnections === undefined ? null : Math.ceil(values.maxConnections / (place?.of ?? 1)),
})

/** Of new organizations. */
const organizationSettings = (values: RunValues) => ({
  spontaneousOrganizationBootstrap: values.spontaneousOrganizationBootstrap,
  organizationBootstrapWebhook: values.organizationBootstrapWebhook || null,
  organizationInitialActiveUsersLimit: values.organizationInitialActiveUsersLimit ?? null,
  organizationInitialUserProfileOutsiderAllowed: values.organizationInitialUserProfileOutsiderAllowed,
})

function traceSettings(endpoint: URL, sampleRatio: number): TraceSettings {
  const url = new URL(endpoint)
  const user = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
  const authorization = user === ':' ? null : `Basic ${Buffer.from(user).toString('base64')}`
  url.username = url.password = ''
  if (!url.pathname.endsWith('/v1/traces')) url.pathname = `${url.pathname.replace(/\/$/, '')}/v1/traces`
  return { url: url.href, authorization, sampleRatio }
}

/** How object stores, and what else is elsewhere, are reached. */
export const networkOptions = (environment: Environment): NetworkOptions => ({
  caFile: environment.AWS_CA_BUNDLE || null,
  proxy: proxyVariables(environment),
})

/** The database of `parsec backend migrate`. Throws `OperatorError`. */
export function migrateDatabase(
  values: MigrateValues,
  environment: Environment,
): Extract<DatabaseConfig, { kind: 'POSTGRESQL' }> {
  const target = readDatabaseUrl(values.db!, environment)
  return { kind: 'POSTGRESQL', target, minConnections: 0, maxConnections: 1, ...retries(values) }
}

/** Connections of a scrub: for its pages, for what it claims, and for a POSTGRESQL store. */
const SCRUB_CONNECTIONS = 6
/** The database of `parsec backend scrub`. Throws `OperatorError`. */
export function scrubDatabase(
  values: Omit<MigrateValues, 'dryRun'>,
  environment: Environment,
): Extract<DatabaseConfig, { kind: 'POSTGRESQL' }> {
  const connections = { minConnections: 0, maxConnections: SCRUB_CONNECTIONS }
  return { kind: 'POSTGRESQL', target: readDatabaseUrl(values.db!, environment), ...connections, ...retries(values) }
}
/** Bytes a second, null for no limit. Throws `OperatorError`. */
export function scrubRate({ maxRate }: { maxRate?: number | undefined }): number | null {
  if (maxRate !== undefined && !(maxRate > 0 && maxRate < Infinity))
    return refuse(`--max-rate must be greater than 0, not ${maxRate}`)
  return maxRate === undefined ? null : maxRate * 1024 * 1024
}

export function logOptions(values: Pick<RunValues, 'logLevel' | 'logFormat' | 'logFile'>): LogOptions {
  return { level: values.logLevel, format: values.logFormat, file: values.logFile === '-' ? null : values.logFile }
}

function runDatabase(values: RunValues, environment: Environment): DatabaseConfig {
  if (values.db === 'MOCKED') return { kind: 'MOCKED' }
  const pool = postgresPool(values, environment)
  return { ...pool, ...shareOf(pool, placeOf(environment)), ...retries(values) }
}
/** The connections are those of the server, whatever it consists of. */
function shareOf(
  { minConnections, maxConnections }: { minConnections: number; maxConnections: number },
  place: WorkerPlace | null,
) {
  if (!place) return {}
  const share = (all: number) => Math.floor(all / place.of) + (place.number <= all % place.of ? 1 : 0)
  return { minConnections: share(minConnections), maxConnections: share(maxConnections) }
}

/** Fewer, and one that writes would keep all others from reading. */
const LEAST_CONNECTIONS_OF_A_WORKER = 2
/** Workers are processes: what is in the memory of one is not in that of another. */
function checkWorkers({ workers, dev, db, blockstore, natsUrl, dbMaxConnections }: RunValues): void {
  if (workers < 1) refuseUsage(`Invalid value for ${label(runOptions.workers)}: ${workers} is not in the range x>=1.`)
  if (workers === 1) return
  if (natsUrl)
    refuseUsage(
      "Option '--workers' is for a server without '--nats-url'. Over NATS, run as many processes as you like.",
    )
  if (dev || db === 'MOCKED')
    refuseUsage(
      "Option '--workers' needs a PostgreSQL database: with --db=MOCKED (or --dev) each worker would have its own.",
    )
  if (blockstore && usesMemory(blockstore))
    refuseUsage(
      "Option '--workers' needs a block store outside: with --blockstore=MOCKED each worker would have its own.",
    )
  const least = workers * LEAST_CONNECTIONS_OF_A_WORKER
  if (dbMaxConnections !== undefined && dbMaxConnections < least)
    refuse(`--db-max-connections=${dbMaxConnections} is shared by --workers=${workers}: they need ${least} at least`)
}

/** A database and the connections to it. Throws `OperatorError`. */
export function postgresPool(
  values: Pick<RunValues, 'db' | 'dbMinConnections' | 'dbMaxConnections'> & Partial<Pick<RunValues, 'workers'>>,
  environment: Environment,
) {
  const { dbMinConnections: minConnections, workers = 1 } = values
  const { dbMaxConnections: maxConnections = DEFAULT_MAX_CONNECTIONS * workers } = values
  if (maxConnections <= 0) return refuse('max_size is expected to be greater than zero (--db-max-connections)')
  if (minConnections < 0) return refuse('min_size is expected to be greater or equal to zero (--db-min-connections)')
  if (minConnections > maxConnections)
    return refuse('min_size is greater than max_size (--db-min-connections, --db-max-connections)')
  return {
    kind: 'POSTGRESQL' as const,
    target: readDatabaseUrl(values.db!, environment),
    minConnections,
    maxConnections,
  }
}

/** Of a server that is alone; in a cluster whoever starts without the database waits for it (spec 06 §8.3). */
const DEFAULT_CONNECTION_ATTEMPTS = 10

/** The older options count when they are given; theirs is the opposite meaning of 0. */
function retries(
  values: Pick<
    RunValues,
    | 'maximumDatabaseConnectionAttempts'
    | 'pauseBeforeRetryDatabaseConnection'
    | 'dbFirstTriesNumber'
    | 'dbFirstTriesSleep'
  > &
    Partial<Pick<RunValues, 'natsUrl'>>,
): {
  maxAttempts: number
  retryPauseSeconds: number
} {
  const { dbFirstTriesNumber: tries, dbFirstTriesSleep: sleep, natsUrl } = values
  const { maximumDatabaseConnectionAttempts: attempts = natsUrl ? Infinity : DEFAULT_CONNECTION_ATTEMPTS } = values
  const maxAttempts = tries === undefined ? attempts : tries === 0 ? Infinity : tries
  const retryPauseSeconds = sleep ?? values.pauseBeforeRetryDatabaseConnection
  if (maxAttempts < 0) return refuse(`--maximum-database-connection-attempts must be 0 or more, not ${maxAttempts}`)
  if (!(retryPauseSeconds >= 0 && retryPauseSeconds < Infinity))
    return refuse(`--pause-before-retry-database-connection must be 0 or more, not ${retryPauseSeconds}`)
  return { maxAttempts, retryPauseSeconds: Math.min(retryPauseSeconds, LONGEST_SECONDS) }
}

const MOCKED_SENDER = 'no-reply@parsec.com'
type MailValues = Pick<
  RunValues,
  | 'emailHost'
  | 'emailPort'
  | 'emailHostUser'
  | 'emailHostPassword'
  | 'emailUseSsl'
  | 'emailUseTls'
  | 'emailSender'
  | 'emailLanguage'
>
/** Throws `OperatorError`. */
export function mailConfig(values: MailValues): MailConfig | null {
  const { emailHost: host, emailSender: sender, emailLanguage: language } = values
  if (!host) return null
  if (sender && !senderOf(sender))
    return refuse(`--email-sender: '${sender}' is no address like Name <name@example.com>`)
  if (host === 'MOCKED') return { kind: 'MOCKED', sender: sender || MOCKED_SENDER, language }
  if (!sender) return refuse('--email-sender is required when --email-host is provided')
  const { emailHostUser: user, emailHostPassword: password } = values
  const security = values.emailUseSsl ? 'implicit' : values.emailUseTls ? 'starttls' : 'none'
  return {
    kind: 'SMTP',
    host,
    port: values.emailPort,
    login: user && password ? { user, password } : null,
    security,
    sender,
    language,
  }
}

function readTokensAgain(source: RunValues['administrationToken']): readonly AdministrationToken[] {
  if (!source) return []
  if (source.file === null) return tokensOf(source)
  try {
    return readTokens(readFileSync(source.file, 'utf8'))
  } catch (error) {
    throw new OperatorError(`--administration-token-file: ${(error as Error).message}`, { cause: error })
  }
}

/** Throws `OperatorError`. */
export function tlsFiles(keyFile: string | undefined, certFile: string | undefined): TlsFiles | null {
  if (!keyFile && !certFile) return null
  if (!certFile) return refuse('--ssl-keyfile needs --ssl-certfile (PARSEC_SSL_CERTFILE): a key alone cannot serve TLS')
  const cert = readFileSync(certFile)
  const key = keyFile ? readFileSync(keyFile) : cert
  try {
    createSecureContext({ key, cert })
  } catch (error) {
    throw new OperatorError(
      `${keyFile ? '--ssl-keyfile and --ssl-certfile do' : '--ssl-certfile does'} not work: ${(error as Error).message}`,
      { cause: error },
    )
  }
  return { key, cert }
}

type NatsValues = Pick<
  RunValues,
  'natsUrl' | 'natsCreds' | 'natsTlsCa' | 'natsTlsCert' | 'natsTlsKey' | 'natsSubjectPrefix'
>
/** Throws `OperatorError`. */
export function natsSettings(values: NatsValues): NatsSettings | null {
  const { natsUrl: url, natsCreds, natsTlsCa, natsTlsCert, natsTlsKey, natsSubjectPrefix: subjectPrefix } = values
  if (!url) return null
  if (!natsTlsCa && (natsTlsCert || natsTlsKey)) return refuse('--nats-tls-cert and --nats-tls-key need --nats-tls-ca')
  if (Boolean(natsTlsCert) !== Boolean(natsTlsKey)) return refuse('--nats-tls-cert and --nats-tls-key go together')
  const read = (file: string) => readFileSync(file, 'utf8')
  const tls = natsTlsCa
    ? {
        ca: read(natsTlsCa),
        ...(natsTlsCert && { cert: read(natsTlsCert) }),
        ...(natsTlsKey && { key: read(natsTlsKey) }),
      }
    : null
  return { url, credsFile: natsCreds ?? null, tls, subjectPrefix }
}

/** Any integer is well formed (spec 06 §2.3), not every one is a port. */
function checkPort(option: Option<unknown>, port: number | undefined): void {
  if (port !== undefined && !(port >= 0 && port <= MAX_PORT))
    refuseUsage(`Invalid value for ${label(option)}: ${port} is not in the range 0<=x<=${MAX_PORT}.`)
}
const bracketed = (host: string): string => (host.includes(':') && !host.startsWith('[') ? `[${host}]` : host)

function refuseUsage(message: string): never {
  throw new UsageError(message, usageLines('parsec backend run [OPTIONS]', 'parsec backend run'))
}
function refuse(message: string): never {
  throw new OperatorError(message)
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || Object.isFrozen(value)) return value
  Object.freeze(value)
  for (const part of Object.values(value)) deepFreeze(part)
  return value
}
