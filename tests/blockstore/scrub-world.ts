/** What a scrub looks at: a database that knows blocks, and the command line in front of stores. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { databaseRegister, type Register } from '@parsec/blockstore/identity/register'
import { scrub } from '@parsec/blockstore/scrub/scrub'
import { newScrub, type ScrubEvent, type ScrubState } from '@parsec/blockstore/scrub/state'
import type { NodeConfig, StoreConfig } from '@parsec/blockstore/stores/registry'
import type { Uuid } from '@parsec/shared/codec/values'
import type { DatabaseConfig } from '@parsec/shared/config'
import { Database } from '@parsec/shared/postgres/database'
import { readDatabaseUrl } from '@parsec/shared/postgres/url'
import { createDatabase, type TestDatabase } from '../harness/backing.ts'
import { NODE_ARGV } from '../harness/launch.ts'
import { recordingLog } from './service.ts'

export type Line = { kind: string; node?: number; key?: string; outcome?: string; [count: string]: unknown }
export type Scrubbed = { code: number; lines: readonly Line[]; end: Line; stderr: string }

const CONNECTIONS = 4
const ATTEMPT_MS = 3_000
/** Files written a moment ago count as older than this. */
export const ANY_AGE_MS = -60_000

export class ScrubWorld {
  readonly database: TestDatabase
  readonly #pool: Database
  private constructor(database: TestDatabase) {
    this.database = database
    this.#pool = new Database(
      { target: readDatabaseUrl(database.url), minConnections: 0, maxConnections: CONNECTIONS },
      recordingLog([]),
    )
  }
  static async open(): Promise<ScrubWorld> {
    const database = await createDatabase()
    await promisify(execFile)(process.execPath, [...NODE_ARGV, 'backend', 'migrate', `--db=${database.url}`])
    return new ScrubWorld(database)
  }
  /** Of the nodes, in the database. */
  get nodeRegister(): Register {
    return databaseRegister(this.#pool)
  }
  async close(): Promise<void> {
    await this.#pool.close()
    await this.database.drop()
  }
  /** As services are told of it. */
  get config(): DatabaseConfig {
    return {
      kind: 'POSTGRESQL',
      target: readDatabaseUrl(this.database.url),
      minConnections: 0,
      maxConnections: CONNECTIONS,
      maxAttempts: 1,
      retryPauseSeconds: 1,
    }
  }

  /** Makes the metadata know blocks as if they had been created an hour ago. */
  async register(
    organization_id: string,
    blocks: Iterable<readonly [block_id: Uuid, size: number, missedNodes?: readonly number[] | undefined]>,
  ): Promise<void> {
    await this.database.query(
      `INSERT INTO organization (organization_id, bootstrap_token, user_profile_outsider_allowed, created_on)
       VALUES ($1, '', TRUE, now()) ON CONFLICT DO NOTHING`,
      [organization_id],
    )
    const known = [...blocks]
    // Realm and author matter to nobody here.
    await this.database.query(`ALTER TABLE block DISABLE TRIGGER ALL`)
    await this.database.query(
      `INSERT INTO block (organization, block_id, realm, author, size, created_on, missed_nodes)
       SELECT organization._id, asked.block_id, 0, 0, asked.size, now() - interval '1 hour', missed::smallint[]
       FROM organization, unnest($2::uuid[], $3::bigint[], $4::text[]) AS asked (block_id, size, missed)
       WHERE organization_id = $1 ON CONFLICT DO NOTHING`,
      [
        organization_id,
        known.map(([id]) => id.hyphenated),
        known.map(([, size]) => size),
        known.map(([, , missed = []]) => (missed.length > 0 ? `{${missed}}` : null)),
      ],
    )
  }
  async forget(): Promise<void> {
    await this.database.query('DELETE FROM block')
  }

  scrub(store: StoreConfig, ...options: string[]): Promise<Scrubbed> {
    return runScrub(this.database.url, optionsOf(store), ...options)
  }
  /** The scrub as the command runs it, in this process and with spans of time that a test has. */
  async scrubHere(
    store: StoreConfig,
    changes: Partial<Parameters<typeof scrub>[0]> = {},
  ): Promise<{ state: ScrubState; events: readonly ScrubEvent[] }> {
    const events: ScrubEvent[] = []
    const state: ScrubState = changes.state ?? newScrub()
    await scrub({
      config: { store, database: this.config },
      database: this.#pool,
      log: recordingLog([]),
      network: { caFile: null, proxy: {}, attemptMs: ATTEMPT_MS },
      repair: false,
      adopt: false,
      node: null,
      isDegraded: false,
      removeOlderThanMs: null,
      maxBytesPerSecond: null,
      onProgress: async () => {},
      report: event => void events.push(event),
      signal: new AbortController().signal,
      youngMs: ANY_AGE_MS,
      claimMs: 0,
      ...changes,
      state,
    })
    return { state, events }
  }
}

/** `parsec backend scrub --json`. */
export async function runScrub(
  databaseUrl: string,
  stores: readonly string[],
  ...options: string[]
): Promise<Scrubbed> {
  const argv = [...NODE_ARGV, 'backend', 'scrub', `--db=${databaseUrl}`, ...stores, '--json', ...options]
  const { code, stdout, stderr } = await new Promise<{ code: number; stdout: string; stderr: string }>(resolve =>
    execFile(process.execPath, argv, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    ),
  )
  const lines = stdout
    .split('\n')
    .filter(line => line.startsWith('{'))
    .map(line => JSON.parse(line) as Line)
  const end = lines.at(-1)
  if (end?.kind !== 'end') throw new Error(`scrub ended with ${code}\n${stdout}${stderr}`)
  return { code, lines, end, stderr }
}

/** The configuration as typed. */
export function optionsOf(store: StoreConfig): string[] {
  if (!('nodes' in store)) return [`--blockstore=${textOf(store)}`]
  return store.nodes.map((node, index) => `--blockstore=${store.type}:${index}:${textOf(node)}`)
}
function textOf(node: NodeConfig): string {
  const escaped = (text: string | null) => (text ?? '').replaceAll('\\', '\\\\').replaceAll(':', '\\:')
  switch (node.type) {
    case 'S3':
      return ['s3', node.endpoint, node.region, node.bucket, node.key, node.secret].map(escaped).join(':')
    case 'SWIFT':
      return ['swift', node.authUrl, node.tenant, node.container, node.user, node.password].map(escaped).join(':')
    case 'FILE':
      return ['file', node.directory].map(escaped).join(':')
    default:
      return node.type
  }
}
