/**
 * THE table of options: parsing, precedence, help texts and `docs/configuration.md` all come from it.
 *
 * The order of rows is the order in which options that were not typed are checked (spec 06 §2.7).
 */
import { STORE_KINDS } from '@parsec/blockstore/stores/registry'
import { LOG_FORMATS, LOG_LEVELS } from '@parsec/shared/log'
import { SERVICE_NAMES } from '@parsec/shared/protocol/command'
import { duration } from './command-line/duration.ts'
import {
  flag,
  type Option,
  type OptionTable,
  optional,
  required,
  type Values,
  withDefault,
} from './command-line/option.ts'
import {
  ADDR,
  BLOCKSTORE,
  BOOL,
  choice,
  choices,
  DATABASE,
  FILE,
  FLOAT,
  FORWARDED_PROTO,
  HTTP_URL,
  INT,
  NATS_URL,
  NETWORKS,
  POSTGRESQL_URL,
  RATIO,
  SUBJECT_PREFIX,
  TEXT,
  TOKENS,
  WORKERS,
} from './command-line/values.ts'
import { servicesThatNeed } from './server/services.ts'

const DATABASE_USERS = servicesThatNeed('database')
const HTTP_USERS = servicesThatNeed('http')

const debug = flag({
  name: 'debug',
  env: ['PARSEC_DEBUG'],
  sharedEnv: ['DEBUG'],
  group: 'General',
  text: 'Show a traceback when a fatal error ends the program, and the version in the Server header.',
})
const logLevel = withDefault('WARNING', {
  name: 'log-level',
  short: 'l',
  env: ['PARSEC_LOG_LEVEL'],
  type: choice(LOG_LEVELS),
  group: 'Logs and telemetry',
  text: 'Least important entries that are logged; INFO has one line per request.',
})
const logFormat = withDefault('CONSOLE', {
  name: 'log-format',
  short: 'f',
  env: ['PARSEC_LOG_FORMAT'],
  type: choice(LOG_FORMATS),
  group: 'Logs and telemetry',
  text: 'CONSOLE for people, JSON (one object a line) for programs.',
})
const logFile = withDefault('-', {
  name: 'log-file',
  short: 'o',
  env: ['PARSEC_LOG_FILE'],
  type: { ...TEXT, metavar: 'PATH' },
  defaultText: 'standard error',
  group: 'Logs and telemetry',
  text: 'Append the log to this file; `-` is standard error. SIGHUP opens the file anew, for log rotation.',
})
const dbFirstTriesNumber = optional({
  name: 'db-first-tries-number',
  env: ['PARSEC_DB_FIRST_TRIES_NUMBER'],
  type: INT,
  group: 'Database',
  retired: true,
  text: 'Older name of --maximum-database-connection-attempts, where 0 means without end.',
})
const dbFirstTriesSleep = optional({
  name: 'db-first-tries-sleep',
  env: ['PARSEC_DB_FIRST_TRIES_SLEEP'],
  type: FLOAT,
  group: 'Database',
  retired: true,
  text: 'Older name of --pause-before-retry-database-connection.',
})

const connectionAttempts = {
  name: 'maximum-database-connection-attempts',
  env: ['PARSEC_MAXIMUM_DATABASE_CONNECTION_ATTEMPTS'],
  type: INT,
  services: DATABASE_USERS,
  group: 'Database',
  text: 'How many attempts to reach the database may fail in a row before the server gives up; 0 means that the first failure ends it.',
} as const

/** `file:<directory>` (an existing directory of this machine), … */
const storeForms = (): string => STORE_KINDS.map(({ form, help }) => `\`${form}\` (${help})`).join(', ')

/** Of a process, unless the operator says otherwise. */
export const DEFAULT_MAX_CONNECTIONS = 7

/** Options of `parsec backend run`. */
export const runOptions = {
  host: withDefault('127.0.0.1', {
    name: 'host',
    short: 'H',
    env: ['PARSEC_HOST'],
    type: TEXT,
    group: 'Network',
    services: HTTP_USERS,
    text: 'Address to listen on; 0.0.0.0 for every IPv4 interface. An address with a colon is IPv6.',
  }),
  port: withDefault(6777, {
    name: 'port',
    short: 'P',
    env: ['PARSEC_PORT'],
    type: INT,
    group: 'Network',
    services: HTTP_USERS,
    text: 'TCP port to listen on; 0 takes a free one and logs it at level INFO.',
  }),
  db: required(['metadata'], {
    name: 'db',
    env: ['PARSEC_DB'],
    type: DATABASE,
    secret: true,
    services: DATABASE_USERS,
    group: 'Database',
    text: 'PostgreSQL database: postgresql://user:password@host:port/database?parameters, prepared by `parsec backend migrate`. MOCKED keeps everything in memory, for trials only.',
  }),
  dbDropDeletedData: flag({
    name: 'db-drop-deleted-data',
    env: ['PARSEC_DB_DROP_DELETED_DATA'],
    group: 'Database',
    retired: true,
    text: 'Has no effect.',
  }),
  dbMinConnections: withDefault(5, {
    name: 'db-min-connections',
    env: ['PARSEC_DB_MIN_CONNECTIONS'],
    type: INT,
    services: DATABASE_USERS,
    group: 'Database',
    text: 'Database connections that a server keeps open, all its workers together.',
  }),
  dbMaxConnections: optional({
    name: 'db-max-connections',
    env: ['PARSEC_DB_MAX_CONNECTIONS'],
    type: INT,
    services: DATABASE_USERS,
    defaultText: `${DEFAULT_MAX_CONNECTIONS}, with --workers as many for each`,
    group: 'Database',
    text: 'Most database connections that a server opens, all its workers together.',
  }),
  dbFirstTriesNumber,
  dbFirstTriesSleep,
  maximumDatabaseConnectionAttempts: optional({
    ...connectionAttempts,
    defaultText: '10, with --nats-url without end',
  }),
  pauseBeforeRetryDatabaseConnection: withDefault(1, {
    name: 'pause-before-retry-database-connection',
    env: ['PARSEC_PAUSE_BEFORE_RETRY_DATABASE_CONNECTION'],
    type: FLOAT,
    services: DATABASE_USERS,
    group: 'Database',
    text: 'Seconds between two attempts.',
  }),
  blockstore: required(['blockstore'], {
    name: 'blockstore',
    short: 'b',
    env: ['PARSEC_BLOCKSTORE'],
    type: BLOCKSTORE,
    repeatable: true,
    secret: true,
    services: ['blockstore'],
    group: 'Block storage',
    text: `Where encrypted blocks are kept: ${storeForms()}. A colon inside a part is written \`\\:\`. Given several times as \`<RAID0|RAID1|RAID5>:<node>:<store>\` it is an array; the order of nodes must never change once there is data. The variable holds several values separated by blanks, the file one a line.`,
  }),
  raidDegradedWrites: flag({
    name: 'raid-degraded-writes',
    env: ['PARSEC_RAID_DEGRADED_WRITES'],
    services: ['blockstore'],
    group: 'Block storage',
    text: 'Accept a new block while a node of a RAID1 or RAID5 is away, as long as it can still be read back. Its redundancy is missing until the array is repaired.',
  }),
  administrationToken: required(HTTP_USERS, {
    name: 'administration-token',
    env: ['PARSEC_ADMINISTRATION_TOKEN'],
    type: TOKENS,
    secret: true,
    services: HTTP_USERS,
    group: 'Administration',
    text: 'Secret that the administration API wants as `Authorization: Bearer <token>`. A file may have several, each line NAME SCOPES TOKEN: the scopes are read or read,write, the token is plain or `sha256:` with its hash. SIGHUP reads the file again.',
  }),
  spontaneousOrganizationBootstrap: flag({
    name: 'spontaneous-organization-bootstrap',
    env: ['PARSEC_SPONTANEOUS_ORGANIZATION_BOOTSTRAP'],
    services: ['metadata'],
    group: 'Organizations',
    text: 'Let anybody create an organization without the administration API; ids that the API created stay reserved.',
  }),
  organizationBootstrapWebhook: optional({
    name: 'organization-bootstrap-webhook',
    env: ['PARSEC_ORGANIZATION_BOOTSTRAP_WEBHOOK'],
    type: { ...TEXT, metavar: 'URL' },
    services: ['metadata'],
    group: 'Organizations',
    text: 'URL that is told, by a POST with JSON, of each organization that was bootstrapped.',
  }),
  organizationInitialActiveUsersLimit: optional({
    name: 'organization-initial-active-users-limit',
    env: ['PARSEC_ORGANIZATION_INITIAL_ACTIVE_USERS_LIMIT'],
    type: INT,
    services: ['metadata'],
    defaultText: 'no limit',
    group: 'Organizations',
    text: 'Active users that a new organization may have, until the administration API says otherwise.',
  }),
  organizationInitialUserProfileOutsiderAllowed: withDefault(true, {
    name: 'organization-initial-user-profile-outsider-allowed',
    env: ['PARSEC_ORGANIZATION_INITIAL_USER_PROFILE_OUTSIDER_ALLOWED'],
    type: BOOL,
    services: ['metadata'],
    group: 'Organizations',
    text: 'Whether a new organization may have users with the profile OUTSIDER.',
  }),
  backendAddr: optional({
    name: 'backend-addr',
    env: ['PARSEC_BACKEND_ADDR'],
    type: ADDR,
    services: servicesThatNeed('address'),
    defaultText: 'made of --host and --port',
    group: 'Network',
    text: 'Public address of the server, used in links: parsec://hostname[:port], with ?no_ssl=true when clients connect without TLS.',
  }),
  emailHost: optional({
    name: 'email-host',
    env: ['PARSEC_EMAIL_HOST'],
    type: TEXT,
    services: ['metadata'],
    defaultText: 'mails cannot be sent',
    group: 'Mail',
    text: 'SMTP server for invitation mails. MOCKED writes mails as files into a temporary folder.',
  }),
  emailPort: withDefault(25, {
    name: 'email-port',
    env: ['PARSEC_EMAIL_PORT'],
    type: INT,
    services: ['metadata'],
    group: 'Mail',
    text: 'Port of the SMTP server.',
  }),
  emailHostUser: optional({
    name: 'email-host-user',
    env: ['PARSEC_EMAIL_HOST_USER'],
    type: TEXT,
    services: ['metadata'],
    group: 'Mail',
    text: 'User name for the SMTP server; used together with the password only.',
  }),
  emailHostPassword: optional({
    name: 'email-host-password',
    env: ['PARSEC_EMAIL_HOST_PASSWORD'],
    type: TEXT,
    secret: true,
    services: ['metadata'],
    group: 'Mail',
    text: 'Password for the SMTP server.',
  }),
  emailUseSsl: flag({
    name: 'email-use-ssl',
    env: ['PARSEC_EMAIL_USE_SSL'],
    services: ['metadata'],
    group: 'Mail',
    text: 'Speak TLS to the SMTP server from the first byte (usually port 465).',
  }),
  emailUseTls: flag({
    name: 'email-use-tls',
    env: ['PARSEC_EMAIL_USE_TLS'],
    services: ['metadata'],
    group: 'Mail',
    text: 'Change to TLS by STARTTLS (usually port 587); ignored with --email-use-ssl.',
  }),
  emailSender: optional({
    name: 'email-sender',
    env: ['PARSEC_EMAIL_SENDER'],
    type: TEXT,
    services: ['metadata'],
    defaultText: 'no-reply@parsec.com with --email-host=MOCKED',
    group: 'Mail',
    text: 'Sender of mails; needed with a real --email-host.',
  }),
  emailLanguage: withDefault('en', {
    name: 'email-language',
    env: ['PARSEC_EMAIL_LANGUAGE'],
    type: choice(['en', 'fr']),
    services: ['metadata'],
    group: 'Mail',
    text: 'Language of mails.',
  }),
  forwardProtoEnforceHttps: optional({
    name: 'forward-proto-enforce-https',
    env: ['PARSEC_FORWARD_PROTO_ENFORCE_HTTPS'],
    type: FORWARDED_PROTO,
    services: HTTP_USERS,
    group: 'TLS',
    text: 'Behind a proxy that terminates TLS: redirect requests to https when this header is present with another value, e.g. X-Forwarded-Proto:https.',
  }),
  trustedProxies: withDefault<readonly string[]>([], {
    name: 'trusted-proxies',
    env: ['PARSEC_TRUSTED_PROXIES'],
    type: NETWORKS,
    services: HTTP_USERS,
    defaultText: 'none',
    group: 'Network',
    text: 'Addresses and networks of proxies in front of the server, e.g. 10.0.0.0/8,127.0.0.1: the client that they name in X-Forwarded-For is the one in the log and the one whose attempts are counted.',
  }),
  sslKeyfile: optional({
    name: 'ssl-keyfile',
    env: ['PARSEC_SSL_KEYFILE'],
    type: FILE,
    services: HTTP_USERS,
    group: 'TLS',
    text: 'Private key (PEM) of the certificate.',
  }),
  sslCertfile: optional({
    name: 'ssl-certfile',
    env: ['PARSEC_SSL_CERTFILE'],
    type: FILE,
    services: HTTP_USERS,
    group: 'TLS',
    text: 'Certificate chain (PEM), leaf first; alone it holds the key too. SIGHUP reads both files again.',
  }),
  logLevel,
  logFormat,
  logFile,
  logFilter: optional({
    name: 'log-filter',
    env: ['PARSEC_LOG_FILTER'],
    type: TEXT,
    group: 'Logs and telemetry',
    retired: true,
    text: 'Has no effect.',
  }),
  sentryDsn: optional({
    name: 'sentry-dsn',
    aliases: ['sentry-url'],
    env: ['PARSEC_SENTRY_DSN', 'PARSEC_SENTRY_URL'],
    type: { ...TEXT, metavar: 'URL' },
    defaultText: 'telemetry is off',
    group: 'Logs and telemetry',
    text: 'Sentry project that is told of errors.',
  }),
  sentryEnvironment: withDefault('production', {
    name: 'sentry-environment',
    env: ['PARSEC_SENTRY_ENVIRONMENT'],
    type: TEXT,
    group: 'Logs and telemetry',
    text: 'Name of this deployment in Sentry.',
  }),
  otelEndpoint: optional({
    name: 'otel-endpoint',
    env: ['PARSEC_OTEL_ENDPOINT'],
    type: HTTP_URL,
    secret: true,
    defaultText: 'traces are off',
    group: 'Logs and telemetry',
    text: 'OpenTelemetry collector that gets traces over OTLP/HTTP: http[s]://[user:password@]host[:port][/path], to which /v1/traces is appended.',
  }),
  otelSampleRatio: withDefault(1, {
    name: 'otel-sample-ratio',
    env: ['PARSEC_OTEL_SAMPLE_RATIO'],
    type: RATIO,
    group: 'Logs and telemetry',
    text: 'Part of the requests that are traced, from 0 to 1. It is decided where a client asks.',
  }),
  sseKeepalive: withDefault(30, {
    name: 'sse-keepalive',
    env: ['PARSEC_SSE_KEEPALIVE'],
    type: FLOAT,
    services: ['gateway'],
    group: 'Network',
    text: 'Seconds of silence after which a stream of server-sent events gets a keep-alive comment; 0 turns them off.',
  }),
  maxConnections: withDefault(100_000, {
    name: 'max-connections',
    env: ['PARSEC_MAX_CONNECTIONS'],
    type: INT,
    services: HTTP_USERS,
    group: 'Network',
    text: 'Most connections at once, HTTP and half TLS handshakes included; more are refused with status 503.',
  }),
  drainSeconds: withDefault(10, {
    name: 'drain-seconds',
    env: ['PARSEC_DRAIN_SECONDS'],
    type: FLOAT,
    group: 'General',
    text: 'Seconds over which client connections are closed and requests finished after SIGINT or SIGTERM. A second signal ends the program at once.',
  }),
  monitorPort: optional({
    name: 'monitor-port',
    env: ['PARSEC_MONITOR_PORT'],
    type: INT,
    defaultText: 'off',
    group: 'Logs and telemetry',
    text: 'Port of /healthz, /readyz and /metrics (Prometheus).',
  }),
  monitorHost: optional({
    name: 'monitor-host',
    env: ['PARSEC_MONITOR_HOST'],
    type: TEXT,
    defaultText: 'that of --host',
    group: 'Logs and telemetry',
    text: 'Address that --monitor-port is on: where probes and Prometheus come from, and no client.',
  }),
  services: optional({
    name: 'services',
    env: ['PARSEC_SERVICES'],
    type: choices(SERVICE_NAMES),
    defaultText: 'all',
    group: 'Several processes',
    text: `Services of this process, separated by commas: ${SERVICE_NAMES.join(', ')}. Fewer than all need --nats-url, over which they find each other.`,
  }),
  workers: withDefault(1, {
    name: 'workers',
    env: ['PARSEC_WORKERS'],
    type: WORKERS,
    group: 'Several processes',
    text: 'Processes that share the port and the work (Linux): auto is one for each processor core. Needs PostgreSQL and a block store outside; not with --nats-url.',
  }),
  natsUrl: optional({
    name: 'nats-url',
    env: ['PARSEC_NATS_URL'],
    type: NATS_URL,
    secret: true,
    defaultText: 'the services talk inside the process',
    group: 'Several processes',
    text: 'NATS server (nats://[user:password@]host:port, several separated by commas) over which services of several processes talk.',
  }),
  natsSubjectPrefix: withDefault('parsec', {
    name: 'nats-subject-prefix',
    env: ['PARSEC_NATS_SUBJECT_PREFIX'],
    type: SUBJECT_PREFIX,
    group: 'Several processes',
    text: 'What all subjects on NATS begin with. Deployments that share NATS servers need different ones.',
  }),
  natsCreds: optional({
    name: 'nats-creds',
    env: ['PARSEC_NATS_CREDS'],
    type: FILE,
    group: 'Several processes',
    text: 'NATS credentials file.',
  }),
  natsTlsCa: optional({
    name: 'nats-tls-ca',
    env: ['PARSEC_NATS_TLS_CA'],
    type: FILE,
    group: 'Several processes',
    text: 'Certificate authority (PEM) of the NATS server; turns TLS on.',
  }),
  natsTlsCert: optional({
    name: 'nats-tls-cert',
    env: ['PARSEC_NATS_TLS_CERT'],
    type: FILE,
    group: 'Several processes',
    text: 'Client certificate (PEM) for the NATS server.',
  }),
  natsTlsKey: optional({
    name: 'nats-tls-key',
    env: ['PARSEC_NATS_TLS_KEY'],
    type: FILE,
    group: 'Several processes',
    text: 'Key (PEM) of the client certificate.',
  }),
  debug,
  dev: flag({
    name: 'dev',
    group: 'General',
    text: 'For trials: --debug --db=MOCKED --blockstore=MOCKED --administration-token=s3cr3t --backend-addr=parsec://localhost:<port> --email-host=MOCKED --email-sender=no-reply@parsec.com, except for what is typed beside it.',
  }),
} as const satisfies OptionTable

/** Options of `parsec backend migrate` and of its older name `init`. */
export const migrateOptions = {
  db: required(true, {
    name: 'db',
    env: ['PARSEC_DB'],
    type: POSTGRESQL_URL,
    secret: true,
    group: 'Database',
    text: 'PostgreSQL database to prepare: postgresql://user:password@host:port/database?parameters.',
  }),
  dryRun: flag({ name: 'dry-run', group: 'General', text: 'Only tell what would be applied.' }),
  dbFirstTriesNumber,
  dbFirstTriesSleep,
  maximumDatabaseConnectionAttempts: withDefault(1, connectionAttempts),
  pauseBeforeRetryDatabaseConnection: runOptions.pauseBeforeRetryDatabaseConnection,
  logLevel,
  logFormat,
  logFile,
  debug,
} as const satisfies OptionTable

/** Options of `parsec backend scrub`. */
export const scrubOptions = {
  db: required(true, {
    ...migrateOptions.db,
    text: 'PostgreSQL database of the server, which knows the blocks: postgresql://user:password@host:port/database?parameters.',
  }),
  blockstore: required(true, {
    ...runOptions.blockstore,
    text: 'The block store of the server, written as for `parsec backend run`: all nodes, in the same order.',
  }),
  repair: flag({
    name: 'repair',
    group: 'Block storage',
    text: 'Write what is missing or corrupt, as far as the other nodes of a RAID1 or RAID5 tell what it should be.',
  }),
  adopt: flag({
    name: 'adopt',
    group: 'Block storage',
    text: 'Make the storages of --blockstore the nodes of this database, whatever they were before: after a disk or bucket was replaced (with --node, only that one), or when the array changes its form. Until then servers refuse them.',
  }),
  node: optional({
    name: 'node',
    type: INT,
    group: 'Block storage',
    defaultText: 'all',
    text: 'Compare this node only and believe the others. With --repair it refills a node that was replaced.',
  }),
  degraded: flag({
    name: 'degraded',
    group: 'Block storage',
    text: 'Only blocks that were accepted while a node was away (`--raid-degraded-writes`): what to repair first.',
  }),
  deleteOrphans: flag({
    name: 'delete-orphans',
    group: 'Block storage',
    text: 'Remove objects that belong to no block of the database. Never those of organizations that it does not know.',
  }),
  olderThan: withDefault(24 * 3_600_000, {
    name: 'older-than',
    type: duration('1h'),
    group: 'Block storage',
    defaultText: '24h',
    text: 'Age from which orphans are removed, at least 1h: 15m, 24h, 7d.',
  }),
  maxRate: optional({
    name: 'max-rate',
    type: FLOAT,
    group: 'Block storage',
    defaultText: 'no limit',
    text: 'Most MiB a second that are read and written, over all nodes.',
  }),
  state: optional({
    name: 'state',
    type: { ...TEXT, metavar: 'PATH' },
    group: 'General',
    defaultText: 'none',
    text: 'File that remembers how far the work has come; the same command then goes on after an interruption. It is removed at the end.',
  }),
  json: flag({ name: 'json', group: 'General', text: 'Print one JSON object a line.' }),
  dbFirstTriesNumber,
  dbFirstTriesSleep,
  maximumDatabaseConnectionAttempts: migrateOptions.maximumDatabaseConnectionAttempts,
  pauseBeforeRetryDatabaseConnection: runOptions.pauseBeforeRetryDatabaseConnection,
  logLevel,
  logFormat,
  logFile,
  debug,
} as const satisfies OptionTable

const { maxRate, state, json } = scrubOptions

/** Options of `parsec backend blocks copy`. */
export const copyOptions = {
  db: scrubOptions.db,
  from: required(true, {
    name: 'from',
    type: BLOCKSTORE,
    repeatable: true,
    secret: true,
    group: 'Block storage',
    text: 'The block store that has the blocks, written as `--blockstore` of `parsec backend run`; all nodes of an array, in the same order.',
  }),
  to: required(true, {
    name: 'to',
    type: BLOCKSTORE,
    repeatable: true,
    secret: true,
    group: 'Block storage',
    text: 'The block store that gets them.',
  }),
  maxRate,
  state: {
    ...state,
    text: 'File that remembers how far the copy has come; the same command then goes on after an interruption, and later copies only what is new.',
  },
  json,
  dbFirstTriesNumber,
  dbFirstTriesSleep,
  maximumDatabaseConnectionAttempts: scrubOptions.maximumDatabaseConnectionAttempts,
  pauseBeforeRetryDatabaseConnection: scrubOptions.pauseBeforeRetryDatabaseConnection,
  logLevel,
  logFormat,
  logFile,
  debug,
} as const satisfies OptionTable

export type CopyValues = Values<typeof copyOptions>
export type ScrubValues = Values<typeof scrubOptions>
export type RunValues = Values<typeof runOptions>
export type MigrateValues = Values<typeof migrateOptions>

const asked = <T>(option: Option<T>): Option<T> => ({ ...option, required: false })
/** Options of `parsec backend check`: those of the server, as far as something can be looked at. */
export const checkOptions = {
  services: runOptions.services,
  db: asked(runOptions.db),
  dbMinConnections: runOptions.dbMinConnections,
  dbMaxConnections: runOptions.dbMaxConnections,
  blockstore: asked(runOptions.blockstore),
  natsUrl: runOptions.natsUrl,
  natsSubjectPrefix: runOptions.natsSubjectPrefix,
  natsCreds: runOptions.natsCreds,
  natsTlsCa: runOptions.natsTlsCa,
  natsTlsCert: runOptions.natsTlsCert,
  natsTlsKey: runOptions.natsTlsKey,
  emailHost: runOptions.emailHost,
  emailPort: runOptions.emailPort,
  emailHostUser: runOptions.emailHostUser,
  emailHostPassword: runOptions.emailHostPassword,
  emailUseSsl: runOptions.emailUseSsl,
  emailUseTls: runOptions.emailUseTls,
  emailSender: runOptions.emailSender,
  emailLanguage: runOptions.emailLanguage,
  sslKeyfile: runOptions.sslKeyfile,
  sslCertfile: runOptions.sslCertfile,
  backendAddr: optional({
    ...runOptions.backendAddr,
    text: 'Public address of the server: it is looked at as clients reach it.',
  }),
  json: flag({ name: 'json', group: 'General', text: 'Print what was found as JSON, one object a line.' }),
  debug,
} as const satisfies OptionTable
export type CheckValues = Values<typeof checkOptions>
