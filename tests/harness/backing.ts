/** The real services behind the servers under test: PostgreSQL of `tests/backing/services.sh`, one database per run, and a NATS server per cluster. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import pg from 'pg'
import { Child } from './child.ts'
import { freePort } from './ports.ts'

const SERVICES = fileURLToPath(new URL('../backing/services.sh', import.meta.url))

/** The variables that `services.sh` exports, after starting what is not running yet. */
export async function backing(services = 'postgres nats'): Promise<{ readonly [name: string]: string }> {
  const run = promisify(execFile)
  await run('bash', [SERVICES, 'start'], { env: { ...process.env, SERVICES: services } })
  const { stdout } = await run('bash', [SERVICES, 'env'])
  return Object.fromEntries([...stdout.matchAll(/^export (\w+)=(.*)$/gm)].map(([, name, value]) => [name, value]))
}

export type TestDatabase = {
  readonly url: string
  query<Row extends object>(text: string, values?: unknown[]): Promise<Row[]>
  drop(): Promise<void>
}

/** A new database: empty, or like another one to which nobody is connected. `settings`: words of `CREATE DATABASE`. */
export async function createDatabase(template?: TestDatabase, settings = ''): Promise<TestDatabase> {
  const admin = (await backing('postgres')).TEST_PG_ADMIN_URL
  if (!admin) throw new Error('PostgreSQL for tests is not running: bash tests/backing/services.sh start')
  const name = `parsec_run_${process.pid}_${randomBytes(4).toString('hex')}`
  const like = template ? ` TEMPLATE ${new URL(template.url).pathname.slice(1)}` : ''
  await statement(admin, `CREATE DATABASE ${name}${like} ${settings}`)
  const url = new URL(admin)
  url.pathname = `/${name}`
  return {
    url: url.href,
    query: (text, values) => statement(url.href, text, values),
    drop: async () => void (await statement(admin, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)),
  }
}

async function statement<Row extends object>(url: string, text: string, values: unknown[] = []): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(text, values)).rows as Row[]
  } finally {
    await client.end()
  }
}

/** Most bytes of a message: those of a client's largest, and room for its envelope. */
export const NATS_MAX_PAYLOAD = 17 * 1024 * 1024

/** `urlOf`: the address for one of many processes, where they differ. */
export type TestNats = { readonly url: string; urlOf?(process: number): string; stop(): Promise<void> }

/** A NATS server of its own, so that clusters under test never hear each other. */
export async function startNats(maxPayload = NATS_MAX_PAYLOAD): Promise<TestNats & { readonly child: Child }> {
  const port = await freePort()
  const folder = await mkdtemp(join(tmpdir(), 'parsec-nats-'))
  const config = join(folder, 'nats.conf')
  const settings = [`listen: "127.0.0.1:${port}"`, `max_payload: ${maxPayload}`, 'ping_interval: "5s"', 'ping_max: 2']
  await writeFile(config, `${settings.join('\n')}\n`)
  const child = new Child('nats', 'nats-server', ['-c', config], { PATH: `${process.env.PATH}:/usr/sbin` })
  await child.until(() => isListening(port))
  return {
    url: `nats://127.0.0.1:${port}`,
    child,
    stop: async () => {
      await child.end()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Whether something accepts connections on a loopback port. */
export function isListening(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
