/** A PostgreSQL of a test's own, for what the shared one must not suffer: TLS, a standby, being killed. */
import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { Child } from './child.ts'
import { freePort } from './ports.ts'

const BIN = process.env['PG_BIN'] ?? '/usr/lib/postgresql/15/bin'
/** PostgreSQL does not run as root. */
const AS_POSTGRES =
  process.getuid?.() === 0 ? ['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups'] : []
const ENVIRONMENT = { PATH: process.env.PATH, LC_ALL: 'C.UTF-8' }
const run = promisify(execFile)

export class OwnPostgres {
  /** Of all its files; those of the caller may be there, too. */
  readonly folder: string
  readonly port: number
  readonly #argv: readonly string[]
  #child: Child | undefined

  private constructor(folder: string, port: number, settings: readonly string[]) {
    this.folder = folder
    this.port = port
    const own = ['fsync=off', 'listen_addresses=127.0.0.1,::1', `unix_socket_directories=${folder}`]
    this.#argv = ['-D', join(folder, 'data'), '-p', `${port}`, ...[...own, ...settings].flatMap(one => ['-c', one])]
  }

  /** `prepare`: writes what the settings name into the folder. Everybody is trusted unless `access` (pg_hba.conf) says else. */
  static async start({
    settings = [],
    access = 'local all all trust\nhost all all all trust\nhost replication all all trust\n',
    prepare = async () => {},
  }: {
    settings?: readonly string[]
    access?: string
    prepare?: (folder: string) => Promise<void>
  } = {}): Promise<OwnPostgres> {
    const folder = await makeFolder()
    await as('initdb', '-D', join(folder, 'data'), '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-sync')
    await prepare(folder)
    await writeFile(join(folder, 'data', 'pg_hba.conf'), access)
    await give(folder)
    const server = new OwnPostgres(folder, await freePort(), settings)
    await server.up()
    return server
  }
  /** A standby that follows this server. */
  async standby(): Promise<OwnPostgres> {
    const folder = await makeFolder()
    const from = ['-h', '127.0.0.1', '-p', `${this.port}`, '-U', 'postgres', '-c', 'fast', '--no-sync']
    await as('pg_basebackup', '-D', join(folder, 'data'), '-R', ...from)
    const server = new OwnPostgres(folder, await freePort(), [])
    await server.up()
    return server
  }
  /** From now on a commit is acknowledged when its standby has it, too. */
  async awaitStandby(): Promise<void> {
    await this.query(`ALTER SYSTEM SET synchronous_standby_names = '*'`)
    await this.query('SELECT pg_reload_conf()')
    await this.#child!.until(
      async () => (await this.query(`SELECT FROM pg_stat_replication WHERE sync_state = 'sync'`)).length === 1,
    )
  }

  url(parameters = '', { user = 'postgres', host = '127.0.0.1', database = 'postgres' } = {}): string {
    return `postgresql://${user}@${host}:${this.port}/${database}${parameters}`
  }
  async query<Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> {
    const client = new pg.Client({ host: this.folder, port: this.port, user: 'postgres', database: 'postgres' })
    client.on('error', () => {})
    await client.connect()
    try {
      return (await client.query(text, values)).rows as Row[]
    } finally {
      await client.end()
    }
  }
  async up(): Promise<void> {
    const [command, ...argv] = [...AS_POSTGRES, join(BIN, 'postgres'), ...this.#argv]
    this.#child = new Child('postgres', command!, argv, ENVIRONMENT)
    await this.#child.until(() =>
      this.query('SELECT').then(
        () => true,
        () => false,
      ),
    )
  }
  /** `SIGINT`: what runs is broken off; `SIGQUIT`: as if it had crashed. */
  async down(signal: NodeJS.Signals = 'SIGINT'): Promise<void> {
    await this.#child?.end(signal)
  }
  async stop(): Promise<void> {
    await this.down('SIGQUIT')
    await rm(this.folder, { recursive: true, force: true })
  }
}

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'parsec-postgres-'))
  await mkdir(join(folder, 'data'))
  await chmod(folder, 0o755)
  await chmod(join(folder, 'data'), 0o700)
  await give(folder)
  return folder
}
async function give(folder: string): Promise<void> {
  if (AS_POSTGRES.length > 0) await run('chown', ['-R', 'postgres:postgres', folder])
}
async function as(program: string, ...argv: string[]): Promise<void> {
  const [command, ...rest] = [...AS_POSTGRES, join(BIN, program), ...argv]
  await run(command!, rest, { env: ENVIRONMENT, cwd: '/' })
}
