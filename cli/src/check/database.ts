/** The database as the server needs it: reachable, quick, in secret, of this release, writable. */
import { requireMigrated } from '@parsec/metadata/storage/migrations'
import { COUNTER, Outbox } from '@parsec/metadata/storage/outbox'
import type { DatabaseConfig } from '@parsec/shared/config'
import { CHECK_CLOCK_MS, CHECK_NEAR_MS } from '@parsec/shared/deadlines'
import { createLog } from '@parsec/shared/log'
import { registeredNodes } from '@parsec/shared/postgres/blockstore-nodes'
import type { Database } from '@parsec/shared/postgres/database'
import { openPostgres } from '@parsec/shared/postgres/open'
import { sql } from '@parsec/shared/postgres/sql'
import type { BlockstoreNode } from '@parsec/shared/protocol/internal'
import { type Finding, Findings } from './finding.ts'

type Postgres = Extract<DatabaseConfig, { kind: 'POSTGRESQL' }>
const LOOKS = 5
const OLDEST = 120_000

/** `nodes`: as the database knows them; undefined when it cannot tell. */
export async function checkDatabase(
  config: Postgres,
): Promise<{ findings: Finding[]; nodes: BlockstoreNode[] | undefined }> {
  const findings = new Findings('database')
  const log = createLog({ level: 'CRITICAL', format: 'CONSOLE', file: null })
  const pool = { ...config, minConnections: 0, maxConnections: 1, maxAttempts: 1, retryPauseSeconds: 0 }
  let nodes: BlockstoreNode[] | undefined
  await findings.look('check --db, the network, and pg_hba.conf of the server', async () => {
    const database = await openPostgres(pool, log)
    try {
      await checkServer(database, findings)
      await checkSecrecy(database, config, findings)
      if (await checkLevel(database, findings)) {
        await checkRights(database, findings)
        nodes = await registeredNodes(database)
      }
      await checkConnections(database, config, findings)
    } finally {
      await database.close()
    }
  })
  await log.close()
  return { findings: findings.list, nodes }
}

async function checkServer(database: Database, findings: Findings): Promise<void> {
  const times: number[] = []
  for (let n = 0; n < LOOKS; n++) {
    const startedAt = performance.now()
    await database.one(sql`SELECT 1 AS one`)
    times.push(performance.now() - startedAt)
  }
  const ms = times.toSorted((a, b) => a - b)[Math.floor(LOOKS / 2)]!
  const before = Date.now()
  const { version, text, is_replica, clock } = (await database.one<{
    version: number
    text: string
    is_replica: boolean
    clock: number
  }>(sql`
    SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS text,
      pg_is_in_recovery() AS is_replica, (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS clock`))!
  const took = `PostgreSQL ${text}, answers in ${ms.toFixed(1)} ms`
  if (version < OLDEST) findings.fail(took, 'PostgreSQL 12 or newer is needed')
  else if (is_replica)
    findings.fail(
      `${took}; it is a replica and takes no writes`,
      'name the primary, or target_session_attrs=read-write',
    )
  else if (ms > CHECK_NEAR_MS) findings.warn(took, 'each command waits for it: bring server and database nearer')
  else findings.ok(took)
  const off = clock - (before + Date.now()) / 2
  if (Math.abs(off) > CHECK_CLOCK_MS)
    findings.fail(
      `its clock is ${Math.round(off / 1000)} s off ours`,
      'let both machines keep time (chrony, systemd-timesyncd)',
    )
}

async function checkSecrecy(database: Database, { target }: Postgres, findings: Findings): Promise<void> {
  const row = await database.one<{ ssl: boolean; version: string | null }>(sql`
    SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()`)
  if (row?.ssl) return findings.ok(`the connection is encrypted (${row.version})`)
  const isLocal = target.hosts.every(({ host }) => /^\/|^localhost$|^127\.|^::1$/.test(host))
  if (isLocal) findings.ok('the connection is not encrypted, and does not leave the machine')
  else
    findings.warn(
      'the connection is not encrypted',
      'turn ssl on in postgresql.conf, and add sslmode=verify-full to --db',
    )
}

async function checkLevel(database: Database, findings: Findings): Promise<boolean> {
  try {
    await requireMigrated(database)
    findings.ok('its schema is that of this release')
    return true
  } catch (error) {
    findings.fail((error as Error).message, '`parsec backend migrate` prepares it; see docs/operations.md#upgrade')
    return false
  }
}

async function checkRights(database: Database, findings: Findings): Promise<void> {
  const lacking = await database.all<{ table_name: string }>(sql`
    SELECT table_name::text AS table_name FROM information_schema.tables
    WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'
      AND NOT (has_table_privilege(quote_ident(table_schema) || '.' || quote_ident(table_name), 'SELECT')
        AND has_table_privilege(quote_ident(table_schema) || '.' || quote_ident(table_name), 'INSERT')
        AND has_table_privilege(quote_ident(table_schema) || '.' || quote_ident(table_name), 'UPDATE')
        AND has_table_privilege(quote_ident(table_schema) || '.' || quote_ident(table_name), 'DELETE'))
    ORDER BY 1`)
  if (!(await Outbox.mayCount(database))) lacking.push({ table_name: COUNTER })
  if (lacking.length === 0) return findings.ok('the role may read and write every table')
  findings.fail(
    `the role lacks rights on ${lacking.map(({ table_name }) => table_name).join(', ')}`,
    'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES and SELECT ON ALL SEQUENCES IN SCHEMA … TO the role, or let it own them',
  )
}

async function checkConnections(database: Database, { maxConnections }: Postgres, findings: Findings): Promise<void> {
  const { most, used } = (await database.one<{ most: number; used: number }>(sql`
    SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS most,
      (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used`))!
  const found = `${used} of ${most} connections are used; this server opens up to ${maxConnections} for each process`
  if (maxConnections > most)
    findings.fail(found, 'raise max_connections in postgresql.conf, or lower --db-max-connections')
  else findings.ok(found)
}
