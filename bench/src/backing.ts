/** What a run stands on: the tests' PostgreSQL with databases of its own, their S3, and a NATS server of its own. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import pg from 'pg'
import { freePort } from './processes.ts'
import type { S3Service } from './s3.ts'

const run = promisify(execFile)
const SERVICES = fileURLToPath(new URL('../../tests/backing/services.sh', import.meta.url))
/** Debian keeps it out of the path of ordinary users. */
const DEBIAN_NATS = '/usr/sbin/nats-server'
const NATS_MAX_PAYLOAD = 8 * 1024 * 1024
const NATS_START_DEADLINE_MS = 10_000
const PROBE_EVERY_MS = 10

/** The URL of the tests' PostgreSQL, which is started (and its packages and those of NATS installed) when it is down. */
export async function findPostgres(): Promise<string> {
  const url = (await findServices('postgres nats'))('TEST_PG_ADMIN_URL')
  return url.replace(/^'(.*)'$/, '$1')
}

/** The tests' S3 service, that of OpenStack Swift, which is started (and its packages installed) when it is down. */
export async function findS3(): Promise<S3Service> {
  const value = await findServices('swift')
  return {
    endpoint: value('TEST_S3_ENDPOINT'),
    region: value('TEST_S3_REGION'),
    accessKeyId: value('TEST_S3_ACCESS_KEY_ID'),
    secretAccessKey: value('TEST_S3_SECRET_ACCESS_KEY'),
  }
}

/** Starts what is down of the tests' services; returns what they say of themselves, by the names of variables. */
async function findServices(names: string): Promise<(variable: string) => string> {
  await run('env', [`SERVICES=${names}`, 'bash', SERVICES, 'start'])
  const { stdout } = await run('bash', [SERVICES, 'env'])
  return variable => {
    const value = new RegExp(`^export ${variable}=(.*)$`, 'm').exec(stdout)?.[1]
    if (!value) throw new Error(`the backing services do not tell ${variable}`)
    return value
  }
}

/** A NATS server that nobody else uses: services of another deployment on it would answer each other's requests. */
export async function startNats(folder: string): Promise<{ url: string; stop(): Promise<void> }> {
  const port = await freePort()
  const config = join(folder, 'nats.conf')
  writeFileSync(config, `listen: "127.0.0.1:${port}"\nmax_payload: ${NATS_MAX_PAYLOAD}\n`)
  const child = spawn(existsSync(DEBIAN_NATS) ? DEBIAN_NATS : 'nats-server', ['-c', config], { stdio: 'ignore' })
  await once(child, 'spawn')
  for (
    const deadline = performance.now() + NATS_START_DEADLINE_MS;
    !(await accepts(port));
    await setTimeout(PROBE_EVERY_MS)
  ) {
    if (child.exitCode !== null || performance.now() > deadline) throw new Error('nats-server does not start')
  }
  return { url: `nats://127.0.0.1:${port}`, stop: () => end(child) }
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port })
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

/** Databases of this run, all dropped at its end. */
export class Databases {
  readonly #adminUrl: string
  readonly #prefix = `parsec_bench_${randomBytes(4).toString('hex')}`
  readonly #names = new Set<string>()
  constructor(adminUrl: string) {
    this.#adminUrl = adminUrl
  }

  url(name: string): string {
    const url = new URL(this.#adminUrl)
    url.pathname = `/${this.#prefix}_${name}`
    return url.href
  }
  /** Empty, or a copy of `template`, to which nobody may be connected then. Replaces one of the same name. */
  async create(name: string, template?: string): Promise<string> {
    await this.drop(name)
    this.#names.add(name)
    const copy = template === undefined ? '' : ` TEMPLATE "${this.#prefix}_${template}"`
    await query(this.#adminUrl, `CREATE DATABASE "${this.#prefix}_${name}"${copy}`)
    return this.url(name)
  }
  async drop(name: string): Promise<void> {
    if (!this.#names.delete(name)) return
    await query(this.#adminUrl, `DROP DATABASE IF EXISTS "${this.#prefix}_${name}" WITH (FORCE)`)
  }
  async dropAll(): Promise<void> {
    for (const name of [...this.#names]) await this.drop(name)
  }
}

/** One statement on a connection of its own; returns its rows. */
export async function query(
  url: string,
  text: string,
  values: unknown[] = [],
): Promise<{ [column: string]: unknown }[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(text, values)).rows
  } finally {
    await client.end()
  }
}
