/** What a scrub looks at: a database that knows blocks, and the command line in front of stores. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Uuid } from '@parsec/shared/codec/values'
import type { NodeConfig, StoreConfig } from '@parsec/shared/config'
import { createDatabase, type TestDatabase } from '../harness/backing.ts'
import { NODE_ARGV } from '../harness/launch.ts'

export type Line = { kind: string; node?: number; key?: string; outcome?: string; [count: string]: unknown }
export type Scrubbed = { code: number; lines: readonly Line[]; end: Line; stderr: string }

export class ScrubWorld {
  readonly database: TestDatabase
  private constructor(database: TestDatabase) {
    this.database = database
  }
  static async open(): Promise<ScrubWorld> {
    const database = await createDatabase()
    await promisify(execFile)(process.execPath, [...NODE_ARGV, 'backend', 'migrate', `--db=${database.url}`])
    return new ScrubWorld(database)
  }
  close(): Promise<void> {
    return this.database.drop()
  }

  /** Makes the metadata know blocks as if they had been created an hour ago. */
  async register(organization_id: string, blocks: Iterable<readonly [block_id: Uuid, size: number]>): Promise<void> {
    await this.database.query(
      `INSERT INTO organization (organization_id, bootstrap_token, user_profile_outsider_allowed, created_on)
       VALUES ($1, '', TRUE, now()) ON CONFLICT DO NOTHING`,
      [organization_id],
    )
    const known = [...blocks]
    // Realm and author matter to nobody here.
    await this.database.query(`ALTER TABLE block DISABLE TRIGGER ALL`)
    await this.database.query(
      `INSERT INTO block (organization, block_id, realm, author, size, created_on)
       SELECT organization._id, asked.block_id, 0, 0, asked.size, now() - interval '1 hour'
       FROM organization, unnest($2::uuid[], $3::bigint[]) AS asked (block_id, size) WHERE organization_id = $1
       ON CONFLICT DO NOTHING`,
      [organization_id, known.map(([id]) => id.hyphenated), known.map(([, size]) => size)],
    )
  }
  async forget(): Promise<void> {
    await this.database.query('DELETE FROM block')
  }

  scrub(store: StoreConfig, ...options: string[]): Promise<Scrubbed> {
    return runScrub(this.database.url, optionsOf(store), ...options)
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
