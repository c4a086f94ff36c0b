/** PostgreSQL and NATS for a run: those of the tests, started when they are not up, and a database of its own. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import pg from 'pg'

const run = promisify(execFile)
const SERVICES = fileURLToPath(new URL('../../tests/backing/services.sh', import.meta.url))

export type Backing = { postgresUrl: string; natsUrl: string }

/** Addresses that are given win over the tests' own services. `postgresUrl` needs the right to create databases. */
export async function findBacking(given: {
  postgresUrl?: string | undefined
  natsUrl?: string | undefined
}): Promise<Backing> {
  if (given.postgresUrl && given.natsUrl) return { postgresUrl: given.postgresUrl, natsUrl: given.natsUrl }
  await run('env', ['SERVICES=postgres nats', 'bash', SERVICES, 'start'])
  const { stdout } = await run('bash', [SERVICES, 'env'])
  const variable = (name: string): string => {
    const value = new RegExp(`^export ${name}=(.*)$`, 'm').exec(stdout)?.[1]
    if (!value) throw new Error(`${name} is not among the backing services' settings`)
    return value.replace(/^'(.*)'$/, '$1')
  }
  return {
    postgresUrl: given.postgresUrl ?? variable('TEST_PG_ADMIN_URL'),
    natsUrl: given.natsUrl ?? variable('TEST_NATS_URL'),
  }
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
