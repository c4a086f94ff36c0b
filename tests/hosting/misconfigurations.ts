/** What an administrator may get wrong: how to do it, the line that the server ends with, and what helps. */
import { writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { TestDatabase } from '../harness/backing.ts'
import { makeCertificate } from './installation.ts'

/** What the mistakes are made with. Texts that differ at each run are replaced by the names of these fields. */
export type Scene = {
  /** A folder with key.pem, cert.pem, other.key and a text file. */
  readonly FOLDER: string
  /** A port that is taken by an HTTP server which answers 404 to everything. */
  readonly TAKEN: string
  /** A port that nobody listens on. */
  readonly CLOSED: string
  /** `host:port/name` of a database without tables, and user and password that it lets in. */
  readonly EMPTY_DATABASE: string
  readonly USER: string
  readonly PASSWORD: string
  readonly DATABASE_HOST: string
}

export type Mistake = {
  readonly what: string
  /** Options instead of those of a server that would start; `null` leaves one out, `true` is for one without a value. */
  readonly options: (scene: Scene) => { readonly [option: string]: string | true | null }
  readonly exit: 1 | 2
  readonly line: string
  readonly remedy: string
}

const url = (scene: Scene, at: string, password = scene.PASSWORD) => `postgresql://${scene.USER}:${password}@${at}`
/** A trial, which needs nothing else. */
const TRIAL = { dev: true, db: null, blockstore: null, 'administration-token': null }
const ONCE = { 'maximum-database-connection-attempts': '0' }

export const MISTAKES: readonly Mistake[] = [
  {
    what: 'a required option is missing',
    options: () => ({ 'administration-token': null }),
    exit: 2,
    line: "Error: Missing option '--administration-token'.",
    remedy: 'Give it, or its variable; `parsec backend run --help` shows both.',
  },
  {
    what: 'an option that does not exist',
    options: () => ({ blockstores: 'MOCKED' }),
    exit: 2,
    line: 'Error: No such option: --blockstores (Possible options: --blockstore, --blockstore-file)',
    remedy: 'Look at the suggestion.',
  },
  {
    what: 'a value of the wrong type',
    options: () => ({ port: 'http' }),
    exit: 2,
    line: "Error: Invalid value for '--port' / '-P': 'http' is not a valid integer.",
    remedy: 'See the types in configuration.md.',
  },
  {
    what: 'a port that there is not',
    options: () => ({ port: '-5' }),
    exit: 2,
    line: "Error: Invalid value for '--port' / '-P': -5 is not in the range 0<=x<=65535.",
    remedy: 'Give one from 1 to 65535, or 0 for any that is free.',
  },
  {
    what: 'a port that there is not, for a trial',
    options: () => ({ ...TRIAL, port: '99999' }),
    exit: 2,
    line: "Error: Invalid value for '--port' / '-P': 99999 is not in the range 0<=x<=65535.",
    remedy: 'The same.',
  },
  {
    what: 'an address for clients that is one for browsers',
    options: () => ({ 'backend-addr': 'http://parsec.example.com' }),
    exit: 2,
    line: "Error: Invalid value for '--backend-addr': must look like parsec://hostname[:port][?no_ssl=true], not http://parsec.example.com",
    remedy: 'Write `parsec://` in the place of `https://`; for a server without TLS add `?no_ssl=true`.',
  },
  {
    what: 'the token is empty',
    options: () => ({ 'administration-token': '' }),
    exit: 2,
    line: "Error: Invalid value for '--administration-token': must not be empty.",
    remedy: 'Often a variable that is not set where the command is run.',
  },
  {
    what: 'the token has letters that no HTTP header carries',
    options: () => ({ 'administration-token': 's\u00e9cret' }),
    exit: 2,
    line: "Error: Invalid value for '--administration-token': must consist of ASCII letters, digits and signs.",
    remedy: 'Give another one, for example 64 hexadecimal digits.',
  },
  {
    what: 'an S3 store without escaped colons',
    options: () => ({ blockstore: 's3:s3.example.com:9000:region:bucket:key:secret' }),
    exit: 2,
    line: "Error: Invalid value for '--blockstore' / '-b': Invalid S3 config, must be `s3:[<endpoint_url>]:<region>:<bucket>:<key>:<secret>`",
    remedy: 'Write `\\:` for each colon of the address.',
  },
  {
    what: 'proxies that are no addresses',
    options: () => ({ 'trusted-proxies': 'proxy.example.com' }),
    exit: 2,
    line: "Error: Invalid value for '--trusted-proxies': 'proxy.example.com' is not an IP address or network.",
    remedy: 'Names are not resolved; give addresses or networks.',
  },
  {
    what: 'some services without NATS',
    options: () => ({ services: 'gateway' }),
    exit: 2,
    line: "Error: Option '--services' with fewer than all services needs '--nats-url': the others run elsewhere and are reached over NATS.",
    remedy: 'Give `--nats-url`, or leave `--services` out.',
  },
  {
    what: 'the port is taken',
    options: ({ TAKEN }) => ({ port: TAKEN }),
    exit: 1,
    line: 'Error: cannot listen on 127.0.0.1 port TAKEN: listen EADDRINUSE: address already in use 127.0.0.1:TAKEN',
    remedy: 'Stop the other program or give another `--port`.',
  },
  {
    what: 'the address is not one of this machine',
    options: () => ({ host: '192.0.2.1' }),
    exit: 1,
    line: 'Error: cannot listen on 192.0.2.1 port 0: listen EADDRNOTAVAIL: address not available 192.0.2.1',
    remedy: 'Give an address of this machine, or 0.0.0.0.',
  },
  {
    what: 'the database does not answer',
    options: scene => ({ ...ONCE, db: url(scene, `127.0.0.1:${scene.CLOSED}/parsec`) }),
    exit: 1,
    line: 'Error: --db: cannot use the database 127.0.0.1:CLOSED/parsec: connect ECONNREFUSED 127.0.0.1:CLOSED',
    remedy:
      'Start PostgreSQL, correct `--db`, open the firewall. By default the start is tried ten times, with `--nats-url` without end.',
  },
  {
    what: 'the database refuses the password',
    options: scene => ({ ...ONCE, db: url(scene, scene.EMPTY_DATABASE, 'wrong') }),
    exit: 1,
    line: 'Error: --db: cannot use the database EMPTY_DATABASE: password authentication failed for user "USER"',
    remedy: 'Correct user and password in `--db`; percent-encode special characters.',
  },
  {
    what: 'there is no such database',
    options: scene => ({ ...ONCE, db: url(scene, `${scene.DATABASE_HOST}/no_such_database`) }),
    exit: 1,
    line: 'Error: --db: cannot use the database DATABASE_HOST/no_such_database: database "no_such_database" does not exist',
    remedy: 'Create it: `createdb`.',
  },
  {
    what: 'the database has no tables, or those of another release',
    options: scene => ({ ...ONCE, db: url(scene, scene.EMPTY_DATABASE) }),
    exit: 1,
    line: 'Error: the database schema lacks 0001_initial.sql of this release: run `parsec backend migrate` first',
    remedy: 'Run `parsec backend migrate --db …`.',
  },
  {
    what: 'the password of the database is not percent-encoded',
    options: () => ({ db: 'postgresql://parsec:pass#word@db.example.com/parsec' }),
    exit: 1,
    line: 'Error: invalid DSN: # has no meaning in it; characters of user and password other than letters, digits and -._~ must be percent-encoded (/ as %2F, # as %23, ? as %3F, @ as %40, : as %3A, % as %25)',
    remedy: 'Encode it, or give it in `PGPASSWORD`.',
  },
  {
    what: 'the database is not PostgreSQL',
    options: () => ({ db: 'mysql://db.example.com/parsec' }),
    exit: 1,
    line: `Error: invalid DSN: scheme is expected to be either "postgresql" or "postgres", got 'mysql'`,
    remedy: 'Give a postgresql:// URL.',
  },
  {
    what: 'more connections to open than allowed',
    options: scene => ({ db: url(scene, scene.EMPTY_DATABASE), 'db-min-connections': '9', 'db-max-connections': '3' }),
    exit: 1,
    line: 'Error: min_size is greater than max_size (--db-min-connections, --db-max-connections)',
    remedy: 'Lower the first or raise the second.',
  },
  {
    what: 'the bucket does not exist',
    options: ({ TAKEN }) => ({ blockstore: `s3:http\\://127.0.0.1\\:${TAKEN}:region:bucket:key:secret` }),
    exit: 1,
    line: 'Error: S3 block store: bucket `bucket` at 127.0.0.1:TAKEN answered NotFound (404); check that the bucket exists and that the key of --blockstore may use it',
    remedy: 'Create it, or correct its name.',
  },
  {
    what: 'the object store does not answer',
    options: ({ CLOSED }) => ({ blockstore: `s3:http\\://127.0.0.1\\:${CLOSED}:region:bucket:key:secret` }),
    exit: 1,
    line: 'Error: S3 block store: bucket `bucket` at 127.0.0.1:CLOSED cannot be reached (ECONNREFUSED); check --blockstore and the network',
    remedy: 'Correct the address; for a private certificate set AWS_CA_BUNDLE.',
  },
  {
    what: 'RAID5 of two nodes',
    options: () => ({ blockstore: null, PARSEC_BLOCKSTORE: 'RAID5:0:MOCKED RAID5:1:MOCKED' }),
    exit: 1,
    line: 'Error: RAID5 block store needs at least 3 nodes',
    remedy: 'Add nodes, or use RAID1.',
  },
  {
    what: 'blocks in a database that is in memory',
    options: () => ({ blockstore: 'POSTGRESQL' }),
    exit: 1,
    line: 'Error: PostgreSQL block store is not available',
    remedy: 'Give `--db` a PostgreSQL URL.',
  },
  {
    what: 'a key without certificate',
    options: ({ FOLDER }) => ({ 'ssl-keyfile': `${FOLDER}/server.key` }),
    exit: 1,
    line: 'Error: --ssl-keyfile needs --ssl-certfile (PARSEC_SSL_CERTFILE): a key alone cannot serve TLS',
    remedy: 'Give both files.',
  },
  {
    what: 'the key of another certificate',
    options: ({ FOLDER }) => ({ 'ssl-keyfile': `${FOLDER}/other.key`, 'ssl-certfile': `${FOLDER}/server.pem` }),
    exit: 1,
    line: 'Error: --ssl-keyfile and --ssl-certfile do not work: error:05800074:x509 certificate routines::key values mismatch',
    remedy: 'Give the pair that was made together.',
  },
  {
    what: 'a certificate that is none',
    options: ({ FOLDER }) => ({ 'ssl-keyfile': `${FOLDER}/server.key`, 'ssl-certfile': `${FOLDER}/text` }),
    exit: 1,
    line: 'Error: --ssl-keyfile and --ssl-certfile do not work: error:0480006C:PEM routines::no start line',
    remedy: 'Give PEM files.',
  },
  {
    what: 'a mail server without sender',
    options: () => ({ 'email-host': 'smtp.example.com' }),
    exit: 1,
    line: 'Error: --email-sender is required when --email-host is provided',
    remedy: 'Give `--email-sender`.',
  },
  {
    what: 'a sender of mails that is no address',
    options: () => ({ 'email-host': 'smtp.example.com', 'email-sender': 'Parsec' }),
    exit: 1,
    line: "Error: --email-sender: 'Parsec' is no address like Name <name@example.com>",
    remedy: 'Give `name@example.com` or `Name <name@example.com>`.',
  },
  {
    what: 'an address of NATS without its scheme',
    options: () => ({ 'nats-url': 'nats.example.com:4222' }),
    exit: 2,
    line: "Error: Invalid value for '--nats-url': must look like nats://[user:password@]host[:port], several separated by commas.",
    remedy: 'Put `nats://` or `tls://` before it.',
  },
  {
    what: 'an address of NATS for another protocol',
    options: () => ({ 'nats-url': 'http://nats.example.com:4222' }),
    exit: 2,
    line: "Error: Invalid value for '--nats-url': must look like nats://[user:password@]host[:port], several separated by commas.",
    remedy: 'Put `nats://` or `tls://` before it.',
  },
  {
    what: 'the log file cannot be written',
    options: ({ FOLDER }) => ({ 'log-file': `${FOLDER}/no/such/folder/log` }),
    exit: 1,
    line: "Error: cannot write the log file FOLDER/no/such/folder/log: ENOENT: no such file or directory, open 'FOLDER/no/such/folder/log'",
    remedy: 'Make the folder; let the server write there.',
  },
  {
    what: 'a Sentry DSN that is none',
    options: () => ({ 'sentry-dsn': 'nonsense' }),
    exit: 1,
    line: 'Error: --sentry-dsn (PARSEC_SENTRY_DSN) is not a Sentry DSN, which looks like https://key@sentry.example.com/42',
    remedy: 'Copy it from the settings of the Sentry project.',
  },
]

export async function setScene(folder: string, database: TestDatabase): Promise<{ scene: Scene; server: Server }> {
  await makeCertificate(folder, 'server')
  await makeCertificate(folder, 'other')
  await writeFile(join(folder, 'text'), 'no certificate\n')
  const server = createServer((_, response) => response.writeHead(404).end())
  const gone = createServer()
  for (const one of [server, gone]) await new Promise<void>(resolve => one.listen(0, '127.0.0.1', resolve))
  const port = (of: Server) => `${(of.address() as AddressInfo).port}`
  const [TAKEN, CLOSED] = [port(server), port(gone)]
  await new Promise(resolve => gone.close(resolve))
  const { username, password, host, pathname } = new URL(database.url)
  return {
    scene: {
      FOLDER: folder,
      TAKEN,
      CLOSED,
      EMPTY_DATABASE: host + pathname,
      USER: username,
      PASSWORD: decodeURIComponent(password),
      DATABASE_HOST: host,
    },
    server,
  }
}

/** The words of a command line for a server that would start, but for one mistake; upper case names are variables. */
export function commandLine(mistake: Mistake, scene: Scene): { argv: string[]; env: { [name: string]: string } } {
  const given: { [option: string]: string | true | null } = {
    port: '0',
    db: 'MOCKED',
    blockstore: 'MOCKED',
    'administration-token': 'TOKEN-OF-NOBODY',
    ...mistake.options(scene),
  }
  const pairs = Object.entries(given).filter((pair): pair is [string, string | true] => pair[1] !== null)
  const options = pairs.filter(([name]) => /^[a-z]/.test(name))
  return {
    argv: ['backend', 'run', ...options.map(([name, text]) => (text === true ? `--${name}` : `--${name}=${text}`))],
    env: Object.fromEntries(pairs.filter((pair): pair is [string, string] => /^[A-Z]/.test(pair[0]))),
  }
}

/** The page's table. */
export function table(): string {
  const cell = (text: string) => text.replaceAll('|', '\\|')
  const rows = MISTAKES.map(
    ({ what, exit, line, remedy }) => `| ${cell(what)} | \`\` ${cell(line)} \`\` | ${exit} | ${cell(remedy)} |`,
  )
  return ['| Mistake | Last line | Exit code | Remedy |', '|---|---|---|---|', ...rows].join('\n')
}
